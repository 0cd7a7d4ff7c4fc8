package mysql

import (
	"bytes"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// column is one stored column of a table.
type column struct {
	name    string
	kind    string // data_type: "varchar"
	full    string // column_type: "enum('a','b')"
	charset string // "" for what is not text
	period  string // "ROW START" or "ROW END", where history is kept
}

// encoder appends a value, which is not NULL, as an SQL literal that gives
// exactly this value again when it is inserted into the column.
type encoder func(dst []byte, value sqldriver.Value) ([]byte, error)

// selected is the expression that reads the column.
func (c column) selected(from server) string {
	switch {
	case (c.kind == "float" || c.kind == "double") && from.mysql:
		return quote(c.name) + "*1e0" // CAST is later, + would lose the sign of a zero
	case c.kind == "float" || c.kind == "double":
		return "CAST(" + quote(c.name) + " AS DOUBLE)" // FLOAT as such prints six digits
	case c.numericEnum():
		return quote(c.name) + "+0"
	}
	return quote(c.name)
}

// numericEnum reports whether the column is an ENUM with a member ”, which looks
// like the value 0 that stands for no member.
func (c column) numericEnum() bool {
	return c.kind == "enum" && (strings.Contains(c.full, "(''") || strings.Contains(c.full, ",'',") || strings.Contains(c.full, ",'')"))
}

// encoder chooses by the column's type. Types that it does not know are text of
// ASCII characters, or else bytes.
func (c column) encoder() encoder {
	switch c.kind {
	case "json": // of MySQL; it is UTF-8, and taken as nothing else
		c.charset = "utf8mb4"
	case "float":
		return appendFloat
	case "bit":
		return appendBits
	case "enum":
		if c.numericEnum() {
			return appendNumber
		}
		return appendMember(c.text())
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "double", "decimal":
		return appendNumber
	}
	return c.text()
}

// text chooses by the column's character set. The session reads what is stored,
// unconverted; the text is written in UTF-8 where that converts back to the same
// bytes for certain.
func (c column) text() encoder {
	switch c.charset {
	case "utf8mb4", "utf8mb3", "utf8":
		return func(dst []byte, value sqldriver.Value) ([]byte, error) {
			text, err := raw(value)
			return appendString(dst, text), err
		}
	case "latin1":
		return func(dst []byte, value sqldriver.Value) ([]byte, error) {
			text, err := raw(value)
			return appendString(dst, fromLatin1(text)), err
		}
	case "":
		return appendBinary
	}
	wide := c.charset == "ucs2" || strings.HasPrefix(c.charset, "utf16") || c.charset == "utf32" ||
		c.charset == "swe7" || c.charset == "sjis" || c.charset == "cp932"
	return func(dst []byte, value sqldriver.Value) ([]byte, error) {
		text, err := raw(value)
		if err != nil || len(text) == 0 || !wide && ascii(text) {
			return appendString(dst, text), err
		}
		dst = append(append(append(dst, '_'), c.charset...), " 0x"...)
		return hex.AppendEncode(dst, text), nil
	}
}

// raw returns the bytes of a value that the driver has not converted.
func raw(value sqldriver.Value) ([]byte, error) {
	if text, ok := value.([]byte); ok {
		return text, nil
	}
	return nil, fmt.Errorf("the driver gave a %T instead of bytes", value)
}

// appendNumber appends what the driver made a number of, and decimals, which come
// as their digits.
func appendNumber(dst []byte, value sqldriver.Value) ([]byte, error) {
	switch v := value.(type) {
	case []byte:
		return append(dst, v...), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case float64:
		return appendDouble(dst, v, 64), nil
	}
	return nil, fmt.Errorf("the driver gave a %T as a number", value)
}

// appendFloat appends a FLOAT, read as DOUBLE, in as few digits as give it back.
// The server reads digits as DOUBLE first: where rounding twice ends elsewhere, or
// the digits lie above the largest FLOAT, all of them are written.
func appendFloat(dst []byte, value sqldriver.Value) ([]byte, error) {
	v, ok := value.(float64)
	if !ok {
		return nil, fmt.Errorf("the driver gave a %T as a FLOAT", value)
	}
	short := strconv.AppendFloat(dst, v, 'g', -1, 32)
	if back, err := strconv.ParseFloat(string(short[len(dst):]), 64); err == nil && float64(float32(back)) == v && math.Abs(back) <= math.MaxFloat32 {
		return appendDouble(dst, v, 32), nil
	}
	return appendDouble(dst, v, 64), nil
}

// appendDouble appends a number in as few digits as give it back in that many bits.
// -0 would be an integer, which has no sign.
func appendDouble(dst []byte, v float64, bits int) []byte {
	dst = strconv.AppendFloat(dst, v, 'g', -1, bits)
	if v == 0 && math.Signbit(v) {
		dst = append(dst, "e0"...)
	}
	return dst
}

func appendBits(dst []byte, value sqldriver.Value) ([]byte, error) {
	bits, err := raw(value)
	return hex.AppendEncode(append(dst, "0x"...), bits), err
}

// appendMember appends a member of an ENUM that has no member ”: that is the
// number 0, no member at all.
func appendMember(text encoder) encoder {
	return func(dst []byte, value sqldriver.Value) ([]byte, error) {
		if member, ok := value.([]byte); ok && len(member) == 0 {
			return append(dst, '0'), nil
		}
		return text(dst, value)
	}
}

// appendBinary appends bytes, or the text of types like DATETIME and UUID.
func appendBinary(dst []byte, value sqldriver.Value) ([]byte, error) {
	text, err := raw(value)
	if err != nil {
		return nil, err
	}
	if !ascii(text) || bytes.IndexByte(text, 0) >= 0 {
		dst = append(dst, "_binary"...)
	}
	return appendString(dst, text), nil
}

func ascii(text []byte) bool {
	for _, c := range text {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// escapes are the bytes that stand for others after a backslash.
var escapes = [256]byte{0: '0', '\n': 'n', '\r': 'r', 0x1a: 'Z', '\\': '\\', '\'': '\''}

// appendString appends a string literal: one line, whatever the text holds.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '\'')
	from := 0
	for i, c := range text {
		if e := escapes[c]; e != 0 {
			dst = append(append(dst, text[from:i]...), '\\', e)
			from = i + 1
		}
	}
	return append(append(dst, text[from:]...), '\'')
}

// fromLatin1 converts what MariaDB calls latin1: Windows-1252 with its five gaps
// filled by the control characters of the same number.
func fromLatin1(text []byte) []byte {
	if ascii(text) {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/8+8)
	for _, c := range text {
		switch {
		case c < 0x80:
			out = append(out, c)
		case c < 0xa0:
			out = utf8.AppendRune(out, windows1252[c-0x80])
		default:
			out = utf8.AppendRune(out, rune(c))
		}
	}
	return out
}

var windows1252 = [32]rune{
	0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
}
