package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/race"
	"holdfast/internal/testserver"
)

// brought is a connection that has brought something.
type brought struct {
	net.Conn
	io.Reader
}

func (b brought) Read(p []byte) (int, error) { return b.Reader.Read(p) }

// packets are what a server sends, numbered from 1 on.
func packets(list ...string) []byte {
	var sent []byte
	for i, text := range list {
		for number := byte(i + 1); ; number++ {
			n := min(len(text), maxPacket)
			sent = append(sent, byte(n), byte(n>>8), byte(n>>16), number)
			sent = append(sent, text[:n]...)
			if text = text[n:]; n < maxPacket {
				break
			}
		}
	}
	return sent
}

// rowOf is a row's packet.
func rowOf(fields ...string) string {
	var packet []byte
	for _, f := range fields {
		switch n := len(f); {
		case f == "NULL":
			packet = append(packet, 0xfb)
			continue
		case n < 0xfb:
			packet = append(packet, byte(n))
		case n < 1<<16:
			packet = binary.LittleEndian.AppendUint16(append(packet, 0xfc), uint16(n))
		case n < 1<<24:
			packet = append(packet, 0xfd, byte(n), byte(n>>8), byte(n>>16))
		default:
			packet = binary.LittleEndian.AppendUint64(append(packet, 0xfe), uint64(n))
		}
		packet = append(packet, f...)
	}
	return string(packet)
}

const (
	oldEnd  = "\xfe\x00\x00\x02\x00"
	newEnd  = "\xfe\x00\x00\x02\x00\x00\x00"
	failure = "\xff\x84\x05#HY000the table has gone"
	fine    = "\x00\x00\x00\x02\x00\x00\x00"
)

// taken reads a result as the driver and whoever takes its rows do: what the driver saw
// and the rows, until there is nothing any more.
func taken(w *wire, old bool) (driver []byte, rows []string, err error) {
	w.take()
	one := func() (packet []byte, err error) {
		header := make([]byte, headerSize)
		if _, err := io.ReadFull(w, header); err != nil {
			return nil, err
		}
		packet = make([]byte, int(header[0])|int(header[1])<<8|int(header[2])<<16)
		n, err := io.ReadFull(w, packet)
		driver = append(append(driver, header...), packet[:n]...)
		return packet, err
	}
	said, err := one()
	if err != nil || len(said) == 0 || slices.Contains([]byte{markOK, markFile, markError}, said[0]) {
		return driver, nil, err
	}
	columns, _ := lengthOf(said)
	if old {
		columns++
	}
	for range columns {
		if _, err := one(); err != nil {
			return driver, nil, err
		}
	}
	for {
		row, err := w.next()
		if err == io.EOF {
			_, err = one()
			return driver, rows, err
		}
		if err != nil {
			return driver, rows, err
		}
		rows = append(rows, string(row))
	}
}

// results are what a server may send for a query, with what the driver is to see of it.
var results = map[string]struct {
	old          bool
	sent, driver []byte
	rows         []string
}{
	"of two columns": {false, packets("\x02", "def1", "def2", rowOf("1", "a"), rowOf("2", "NULL"), newEnd),
		packets("\x02", "def1", "def2", newEnd), []string{rowOf("1", "a"), rowOf("2", "NULL")}},
	"in the older protocol": {true, packets("\x02", "def1", "def2", oldEnd, rowOf("1", "a"), rowOf("NULL", "b"), oldEnd),
		packets("\x02", "def1", "def2", oldEnd, oldEnd), []string{rowOf("1", "a"), rowOf("NULL", "b")}},
	"without rows":                           {false, packets("\x01", "def1", newEnd), packets("\x01", "def1", newEnd), nil},
	"without rows, in the older protocol":    {true, packets("\x01", "def1", oldEnd, oldEnd), packets("\x01", "def1", oldEnd, oldEnd), nil},
	"that fails at once":                     {false, packets(failure), packets(failure), nil},
	"that fails behind a row":                {false, packets("\x01", "def1", rowOf("1"), failure), packets("\x01", "def1", failure), []string{rowOf("1")}},
	"that is none":                           {false, packets(fine), packets(fine), nil},
	"that says metadata follow":              {false, packets("\x01\x01", "def1", rowOf("1"), newEnd), packets("\x01\x01", "def1", newEnd), []string{rowOf("1")}},
	"whose field is larger than the buffer":  {false, packets("\x01", "def1", rowOf(strings.Repeat("x", 300<<10)), rowOf("y"), newEnd), packets("\x01", "def1", newEnd), []string{rowOf(strings.Repeat("x", 300<<10)), rowOf("y")}},
	"whose definition is larger":             {false, packets("\x01", strings.Repeat("d", 100<<10), rowOf("y"), newEnd), packets("\x01", strings.Repeat("d", 100<<10), newEnd), []string{rowOf("y")}},
	"that comes from a server with more":     {false, packets("\x01", "def1", rowOf(""), strings.Replace(newEnd, "\x02", "\x0a", 1)), packets("\x01", "def1", strings.Replace(newEnd, "\x02", "\x0a", 1)), []string{rowOf("")}},
	"with three hundred columns and one row": {false, packets(append(append([]string{"\xfc\x2c\x01"}, slices.Repeat([]string{"d"}, 300)...), rowOf(slices.Repeat([]string{"v"}, 300)...), newEnd)...), packets(append(append([]string{"\xfc\x2c\x01"}, slices.Repeat([]string{"d"}, 300)...), newEnd)...), []string{rowOf(slices.Repeat([]string{"v"}, 300)...)}},
}

func TestTheDriverSeesAResultWithoutItsRows(t *testing.T) {
	pieces := map[string]func(io.Reader) io.Reader{
		"at once":      func(r io.Reader) io.Reader { return r },
		"byte by byte": iotest.OneByteReader,
		"in halves":    iotest.HalfReader,
		"with its end": iotest.DataErrReader,
	}
	for name, result := range results {
		for how, in := range pieces {
			t.Run(name+", "+how, func(t *testing.T) {
				// What follows belongs to the next query.
				next := packets(fine)
				w := &wire{Conn: brought{Reader: in(io.MultiReader(bytes.NewReader(result.sent), bytes.NewReader(next)))}}
				driver, rows, err := taken(w, result.old)
				if err != nil || !bytes.Equal(driver, result.driver) || !slices.Equal(rows, result.rows) {
					t.Errorf("%v\ndriver %.200q\nrows %.200q", err, driver, rows)
				}
				if rest, err := io.ReadAll(w); err != nil || !bytes.Equal(rest, next) {
					t.Errorf("behind it %q, %v", rest, err)
				}
			})
		}
	}
}

func TestAConnectionThatEndsInAResult(t *testing.T) {
	for name, result := range results {
		step := max(1, len(result.sent)/1000)
		for n := 0; n < len(result.sent); n += step {
			w := &wire{Conn: brought{Reader: bytes.NewReader(result.sent[:n])}}
			if _, rows, err := taken(w, result.old); err == nil || len(rows) > len(result.rows) {
				t.Fatalf("%s, after %d of %d bytes: %d rows, %v", name, n, len(result.sent), len(rows), err)
			}
		}
		broken := errors.New("broken")
		w := &wire{Conn: brought{Reader: io.MultiReader(bytes.NewReader(result.sent[:len(result.sent)-1]), iotest.ErrReader(broken))}}
		if _, _, err := taken(w, result.old); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRowsAreCut(t *testing.T) {
	values := make([][]byte, 3)
	if err := cutRow([]byte(rowOf("a", "NULL", "")), values); err != nil || string(values[0]) != "a" || values[1] != nil || values[2] == nil || len(values[2]) != 0 {
		t.Errorf("%v %q", err, values)
	}
	for _, row := range []string{"", "\x01a", "\x01a\x01b", "\x01a\x01b\x02c", "\x01a\x01b\x01cd", "\x01a\x01b\xfc\x01", "\x01a\x01b\xfe\xff\xff\xff\xff\xff\xff\xff\xff", "\x01a\x01b\xff"} {
		if err := cutRow([]byte(row), values); err == nil {
			t.Errorf("%q has three values: %q", row, values)
		}
	}
}

// allocated is how much memory f takes in all, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// atMost is a bound of what is allocated for n bytes.
func atMost(n int) uint64 {
	if race.Enabled { // what grows is allocated twice
		n *= 2
	}
	return uint64(n) + 1<<20
}

// A large row is copied once from the wire, once into its piece, and not into a statement.
func TestALargeRowIsNotCopiedOftenerThanItMust(t *testing.T) {
	const length = 3*maxPacket + 1000
	for name, value := range map[string][]byte{
		"plain":   bytes.Repeat([]byte("x"), length),
		"escaped": bytes.Repeat([]byte("xxxxxxx'"), length/8),
	} {
		sent := packets("\x02", "def1", "def2", rowOf("1", string(value)), newEnd)
		w := &wire{Conn: brought{Reader: bytes.NewReader(sent)}}
		w.take()
		if _, err := io.CopyN(io.Discard, w, int64(len(packets("\x02", "def1", "def2")))); err != nil {
			t.Fatal(err)
		}
		var row []byte
		var err error
		if n := allocated(func() { row, err = w.next() }); err != nil || n > atMost(length) {
			t.Errorf("%s: %d bytes for a row of %d on the wire, %v", name, n, length, err)
		}
		rows := newBatches(table{columns: []column{{name: "id", kind: "int"}, {name: "v", kind: "longblob"}}}, func() error { return nil })
		if err := cutRow(row, rows.values); err != nil {
			t.Fatal(err)
		}
		b := new(batch)
		if n := allocated(func() { err = rows.appendRow(b) }); err != nil || n > atMost(len(b.text)) {
			t.Errorf("%s: %d bytes for %d of text, %v", name, n, len(b.text), err)
		}
		text := string(b.text)
		batches := []*batch{b}
		stream := newInserts(table{name: "t"}, "", func() (*batch, error) {
			if len(batches) == 0 {
				return nil, io.EOF
			}
			b := batches[0]
			batches = nil
			return b, nil
		})
		var statement bytes.Buffer
		statement.Grow(len(text) + 1<<20)
		if n := allocated(func() { _, err = statement.ReadFrom(stream) }); err != nil || n > 1<<20 {
			t.Errorf("%s: %d bytes for a statement of %d, %v", name, n, statement.Len(), err)
		}
		want := "VALUES\n" + strings.TrimSuffix(text, ",\n") + ";\nCOMMIT;\n-- 1 rows\n"
		if !strings.HasSuffix(statement.String(), want) || !strings.Contains(statement.String()[:1000], "\nINSERT INTO `t`") {
			t.Errorf("%s: the statement is another one", name)
		}
	}
}

// FuzzWire: whatever a server sends, what is read of it ends.
func FuzzWire(f *testing.F) {
	for _, result := range results {
		if len(result.sent) < 1000 {
			f.Add(result.sent, result.old)
		}
	}
	f.Fuzz(func(t *testing.T, sent []byte, old bool) {
		driver, rows, err := taken(&wire{Conn: brought{Reader: bytes.NewReader(sent)}}, old)
		used := len(driver)
		for _, row := range rows {
			used += len(row)
			_ = cutRow([]byte(row), make([][]byte, 3))
		}
		if used > len(sent) || err == nil && len(driver) == 0 {
			t.Errorf("%d bytes of %d, %v", used, len(sent), err)
		}
	})
}

// Rows that come as the driver makes them, as over TLS, and those that are taken from
// the wire make the same streams.
func TestRowsComeTheSameOverTLS(t *testing.T) {
	key, certificate := testserver.SelfSigned(t)
	s := newShop(t, "--ssl-key="+key, "--ssl-cert="+certificate, "--max-allowed-packet=64M")
	tables := map[string][]string{
		// Rows of as many bytes as make one packet full, and some more and less.
		"around a packet": {"CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)",
			fmt.Sprintf("INSERT INTO t SELECT seq, REPEAT('x', %d + seq) FROM seq_1_to_9", maxPacket-6-5)},
		"a field larger than a packet": {"CREATE TABLE t (v LONGBLOB)", fmt.Sprintf("INSERT INTO t VALUES (REPEAT('x', %d)), ('y')", 1<<24), "INSERT INTO t VALUES (REPEAT('z', 40000000)), ('')"},
	}
	for name, statements := range typeTables {
		tables[name] = statements
	}
	source := s.source("root", "", "shop")
	s.must(source.Prepare(t.Context(), enginetest.NewMemory()))
	if source.readers[0].wire == nil {
		t.Fatal("without TLS rows are not taken from the wire")
	}
	for name, statements := range tables {
		t.Run(name, func(t *testing.T) {
			s := shop{t, s.server, s.db}
			database := s.fresh(name)
			s.in(database, statements...)
			plain, result, _ := s.capture(database)
			encrypted, over := s.overTLS(database)
			s.same(s.joined(plain, result), s.joined(encrypted, over), "over TLS")
		})
	}
}

// overTLS takes a database over an encrypted connection.
func (s shop) overTLS(database string) (memory *enginetest.Memory, result engines.Result) {
	s.Helper()
	service := s.service("root", "", database)
	service.URL.RawQuery = "tls=skip-verify"
	opened, err := Engine.Source(service)
	s.must(err)
	defer opened.Close()
	source := opened.(*source)
	memory = enginetest.NewMemory()
	s.must(source.Prepare(s.Context(), memory))
	var name, cipher string
	s.must(source.readers[0].one(s.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'", &name, &cipher))
	if cipher == "" || source.readers[0].wire != nil {
		s.Fatal("the connection is not encrypted, or its rows are taken from the wire")
	}
	for marks := 1; ; marks++ {
		_, err := source.Mark(s.Context(), memory)
		s.must(err)
		result, err = source.Send(s.Context(), memory)
		if marks == 3 || !errors.Is(err, engines.ErrPointLost) {
			s.must(err)
			return memory, result
		}
	}
}
