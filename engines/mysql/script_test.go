package mysql

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// statements cuts a script, and returns also its last comment.
func statements(r io.Reader) (list []statement, last string, err error) {
	s := newScript(r)
	for {
		st, err := s.next()
		if errors.Is(err, io.EOF) {
			return list, s.comment, nil
		}
		if err != nil {
			return list, s.comment, err
		}
		list = append(list, statement{st.comment, bytes.Clone(st.text)})
	}
}

// texts are statements that are hard to frame.
var texts = []string{
	"SELECT 1", "CREATE PROCEDURE p()\nBEGIN\n  SELECT ';';\n  SELECT 2;\nEND", "-- a comment\nSELECT 1", "DELIMITER x", "a;;b", ";;;", "SELECT ';\n;;\n'", "x\n;;\nDELIMITER ;\ny", "\n", "`-- `",
}

func TestStatementsComeBack(t *testing.T) {
	var text []byte
	for _, one := range texts {
		text = appendStatement(append(text, "\n-- about it\n"...), []byte(one))
		text = appendBlock(text, []byte(one))
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(text), "byte by byte": iotest.OneByteReader(bytes.NewReader(text))} {
		list, last, err := statements(r)
		if err != nil || last != "about it" || len(list) != 2*len(texts) {
			t.Fatalf("%s: %d statements, comment %q, %v", name, len(list), last, err)
		}
		for i, st := range list {
			if string(st.text) != texts[i/2] || st.comment != "about it" {
				t.Errorf("%s: statement %d: %q, want %q", name, i, st.text, texts[i/2])
			}
		}
	}
}

// aScript is one of each kind of stream.
func aScript() []byte {
	text := []byte("-- Views, routines, triggers and events\n" + header(""))
	for _, o := range someObjects {
		text = appendObject(text, o, "utf8mb4_general_ci")
	}
	return append(append(text, header("")...), "-- 17 rows\n"...)
}

var someObjects = []object{
	{Kind: "FUNCTION", Name: "f`;", SQLMode: "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", Client: "utf8mb4", Connection: "utf8mb4_bin", Text: []byte("CREATE FUNCTION `f``;`() RETURNS INT\nRETURN 1;\n")},
	{Kind: "VIEW", Name: "v", Client: "latin1", Connection: "latin1_swedish_ci", Text: []byte("CREATE VIEW `v` AS select '\xe9;\n'")},
	{Kind: "PACKAGE BODY", Name: "p", SQLMode: "ORACLE", Client: "utf8mb3", Connection: "utf8mb3_general_ci", Collation: "latin1_bin", Text: []byte("CREATE PACKAGE BODY p")},
	{Kind: "EVENT", Name: "e", Client: "utf8mb4", Connection: "utf8mb4_bin", TimeZone: "SYSTEM", Text: []byte("CREATE EVENT e")},
}

func TestObjectsComeBack(t *testing.T) {
	objects, err := readObjects(newScript(bytes.NewReader(aScript())))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(objects, someObjects, object.equal) {
		t.Errorf("got  %+v\nwant %+v", objects, someObjects)
	}
}

func TestAScriptCutAnywhereIsNoticed(t *testing.T) {
	text := aScript()
	for n := range len(text) {
		list, last, err := statements(bytes.NewReader(text[:n]))
		if err == nil && last == "17 rows" {
			t.Errorf("cut at %d of %d bytes: %d statements and no error", n, len(text), len(list))
		}
	}
}

func TestAScriptWithAnyByteFlippedIsReadOrRefused(t *testing.T) {
	text := aScript()
	for i := range text {
		flipped := bytes.Clone(text)
		flipped[i] ^= 0x04
		if _, _, err := statements(bytes.NewReader(flipped)); err != nil && !errors.Is(err, errScript) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, err := readObjects(newScript(bytes.NewReader(flipped))); err != nil && !errors.Is(err, errScript) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

func FuzzScript(f *testing.F) {
	f.Add(aScript())
	for _, text := range texts {
		f.Add([]byte(text + ";\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, _, err := statements(bytes.NewReader(text))
		if err != nil && !errors.Is(err, errScript) {
			t.Fatal(err)
		}
		var again []byte
		for _, st := range list {
			again = appendBlock(again, st.text)
		}
		second, _, err := statements(bytes.NewReader(again))
		if err != nil || !slices.EqualFunc(list, second, func(a, b statement) bool { return bytes.Equal(a.text, b.text) }) {
			t.Fatalf("%q came back as %q: %v", list, second, err)
		}
		objects, err := readObjects(newScript(bytes.NewReader(text)))
		if err != nil && !errors.Is(err, errScript) {
			t.Fatal(err)
		}
		for _, o := range objects {
			_, _, _ = o.definer(), o.replacing(server{}), o.undefined()
		}
		for _, st := range list {
			splitKeys(st.text, true)
			unqualified(st.text, "shop", true)
			parseGrant(string(st.text))
		}
	})
}

func FuzzTableName(f *testing.F) {
	for _, name := range []string{"orders", "a/b", "..", ".", "100%", "a\\b", "tab\t", "ключ", "%2F", "\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		file := fileName(name)
		if strings.ContainsAny(file, "/\x00") || strings.HasPrefix(file, ".") && name != "" {
			t.Fatalf("%q becomes %q", name, file)
		}
		back, err := tableName(file)
		if err != nil || back != name {
			t.Fatalf("%q becomes %q becomes %q: %v", name, file, back, err)
		}
		if table, err := tableName(name); err == nil && fileName(table) != name {
			t.Fatalf("file %q is taken as table %q", name, table)
		}
	})
}

func TestNamesOfTheDatabaseAreTakenAway(t *testing.T) {
	for _, c := range []struct {
		text, want string
		view       bool
	}{
		{"a DEFAULT nextval(`shop`.`s`), b DEFAULT 'nextval(`shop`.`s`)'", "a DEFAULT nextval(`s`), b DEFAULT 'nextval(`shop`.`s`)'", false},
		{"UNION=(`shop`.`a`,`shop`.`b`) COMMENT='it''s \\' `shop`.`c`'", "UNION=(`a`,`b`) COMMENT='it''s \\' `shop`.`c`'", false},
		{"REFERENCES `other`.`shop` (`shop`)", "REFERENCES `other`.`shop` (`shop`)", false},
		{"select `shop`.`id` AS `id` from `shop`", "select `shop`.`id` AS `id` from `shop`", true},
		{"select `shop`.`t`.`id`,`shop`.`f`(1) from (`shop`.`t` join `shop`.`u`) /* `shop`.`x` */", "select `t`.`id`,`f`(1) from (`t` join `u`) /* `shop`.`x` */", true},
		{"select `other`.`shop`.`id` from `other`.`shop`", "select `other`.`shop`.`id` from `other`.`shop`", true},
	} {
		if got := string(unqualified([]byte(c.text), "shop", c.view)); got != c.want {
			t.Errorf("%s\nbecomes %s\nwant    %s", c.text, got, c.want)
		}
	}
}

func TestTriggersAreFreedOfTheDatabase(t *testing.T) {
	l := listed{kind: "TRIGGER", name: "t`r", table: "o", event: "INSERT", timing: "AFTER"}
	for text, want := range map[string]string{
		"CREATE DEFINER=`a`@`b` trigger tr after insert on o for each row set @a = shop.f()":                            "CREATE DEFINER=`a`@`b` trigger tr after insert on o for each row set @a = shop.f()",
		"CREATE DEFINER=`a`@`b` TRIGGER shop.tr AFTER INSERT ON o FOR EACH ROW SET @a=1":                                "CREATE DEFINER=`a`@`b` TRIGGER `t``r` AFTER INSERT ON `o` FOR EACH ROW SET @a=1",
		"CREATE DEFINER=`r``` TRIGGER IF NOT EXISTS tr /* for each row */ AFTER INSERT ON `o`\nFOR EACH\nROW BEGIN END": "CREATE DEFINER=`r``` TRIGGER `t``r` AFTER INSERT ON `o` FOR EACH ROW BEGIN END",
		"CREATE TRIGGER tr AFTER INSERT ON o FOR EACH ROW SET @a=1":                                                     "CREATE TRIGGER `t``r` AFTER INSERT ON `o` FOR EACH ROW SET @a=1",
	} {
		if got, err := triggerText([]byte(text), l); err != nil || string(got) != want {
			t.Errorf("%s\nbecomes %s, %v\nwant    %s", text, got, err, want)
		}
	}
	if _, err := triggerText([]byte("CREATE TRIGGER"), l); err == nil {
		t.Error("half a trigger was accepted")
	}
}

func TestViewsComeAfterWhatTheyRead(t *testing.T) {
	view := func(name, reads string) object {
		return object{Kind: "VIEW", Name: name, Text: []byte("CREATE VIEW " + quote(name) + " AS select `c`.`x` from " + reads)}
	}
	var names []string
	for _, o := range inOrder([]object{view("a", "(`t` join (`c` join `b` on(1)))"), view("b", "(select 1 from `d`)"), view("c", "`t`"), view("d", "`a b`"), view("x", "`x`")}) {
		names = append(names, o.Name)
	}
	if got := strings.Join(names, " "); got != "c d b a x" {
		t.Errorf("order: %s", got)
	}
}

// batchesOf hands rows over, a few at a time.
func batchesOf(rows []string) func() (*batch, error) {
	return func() (*batch, error) {
		if len(rows) == 0 {
			return nil, io.EOF
		}
		n := min(len(rows), 7)
		var b batch
		for _, text := range rows[:n] {
			text += ",\n"
			b.text = append(b.text, text...)
			b.rows = append(b.rows, row{end: len(b.text), member: true, cut: cuts([]byte(text))})
		}
		rows = rows[n:]
		return &b, nil
	}
}

func TestStatementsEndWhereTheRowsSaySo(t *testing.T) {
	// The same rows with another one in front must soon end their statements at the same places.
	cut := func(rows []string) map[string]bool {
		ends, longest := map[string]bool{}, 0
		text, err := io.ReadAll(newInserts(table{}, "", batchesOf(rows)))
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range strings.Split(string(text), ";\n") {
			if _, body, is := strings.Cut(statement, " VALUES\n"); is {
				ends[body[strings.LastIndexByte(body, '\n')+1:]] = true
				longest = max(longest, len(body))
			}
		}
		if longest > maxInsert+200 || len(ends) < 20 {
			t.Errorf("%d statements of up to %d bytes", len(ends), longest)
		}
		return ends
	}
	var rows []string
	for i := range 10000 {
		rows = append(rows, "("+strings.Repeat(string(rune('a'+i%26)), i%97+50)+strings.Repeat("0", i%7)+string(rune(i+1000))+")")
	}
	first, second := cut(rows), cut(append([]string{"(one more row)"}, rows...))
	same := 0
	for row := range first {
		if second[row] {
			same++
		}
	}
	if same < len(first)*3/4 {
		t.Errorf("%d of %d statements end at the same row", same, len(first))
	}
}

func TestFloatsAreShortAndExact(t *testing.T) {
	for _, f := range []float32{0.1, 16777216, math.MaxFloat32, math.SmallestNonzeroFloat32, -1.5e-7, 3.4028233e38, 8388609} {
		text, err := appendFloat(nil, strconv.AppendFloat(nil, float64(f), 'g', -1, 64))
		if err != nil {
			t.Fatal(err)
		}
		if f == 0.1 && string(text) != "0.1" || f == math.MaxFloat32 && string(text) == "3.4028235e+38" {
			t.Errorf("%g becomes %s", f, text)
		}
	}
}

// Text is looked through eight bytes at a time.
func TestEveryByteIsEscapedAtEveryPlace(t *testing.T) {
	for _, fill := range []byte{'a', '\'', 0xc3} {
		for c := range 256 {
			for at := range 20 {
				text := bytes.Repeat([]byte{fill}, 20)
				text[at] = byte(c)
				want, n := []byte{'\''}, 0
				for _, b := range text {
					if e := escapes[b]; e != 0 {
						want, n = append(want, '\\', e), n+1
					} else {
						want = append(want, b)
					}
				}
				if got := appendString(nil, text); string(got) != string(want)+"'" || escaped(text) != n {
					t.Fatalf("%q becomes %s, with %d bytes escaped", text, got, escaped(text))
				}
				if is := fill < 0x80 && c < 0x80; ascii(text) != is {
					t.Fatalf("%q is of ASCII characters: %v", text, !is)
				}
			}
		}
	}
}
