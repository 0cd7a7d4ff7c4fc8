package demosite

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
)

// A table is one of the site's tables. Its first column is id.
type table struct{ name, columns string }

var tables = []table{
	{"state", "id INTEGER PRIMARY KEY, seq INTEGER NOT NULL"},
	{"users", "id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL"},
	{"articles", "id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES users, title TEXT NOT NULL, body TEXT NOT NULL, edited INTEGER NOT NULL"},
	{"comments", "id INTEGER PRIMARY KEY, article INTEGER NOT NULL REFERENCES articles, author INTEGER NOT NULL REFERENCES users, body TEXT NOT NULL, written INTEGER NOT NULL"},
	{"products", "id INTEGER PRIMARY KEY, name TEXT NOT NULL, supplied INTEGER NOT NULL, stock INTEGER NOT NULL"},
	{"orders", "id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES users, product INTEGER NOT NULL REFERENCES products, quantity INTEGER NOT NULL, placed INTEGER NOT NULL"},
	{"uploads", "id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES users, path TEXT NOT NULL, size INTEGER NOT NULL, blake3 TEXT NOT NULL"},
}

// schema returns the statements that make an empty site.
func schema() []string {
	var statements []string
	for _, t := range tables {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s (%s)", t.name, t.columns))
	}
	return append(statements,
		"CREATE INDEX comments_of_article ON comments (article)",
		"CREATE INDEX orders_of_product ON orders (product)")
}

// A hash stands for the contents of a row or a file.
type hash [16]byte

func (h hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

func (h *hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("hash %q: want %d hex digits", text, hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// hashRow is the hash of a row's values in the order of their columns, each with
// its type and length, so that no two rows look alike.
func hashRow(table string, values []any) (hash, error) {
	b := append([]byte(table), 0)
	for _, value := range values {
		switch v := value.(type) {
		case int64:
			b = binary.BigEndian.AppendUint64(append(b, 'i'), uint64(v))
		case string:
			b = append(binary.BigEndian.AppendUint64(append(b, 's'), uint64(len(v))), v...)
		case nil:
			b = append(b, 'n')
		default:
			return hash{}, fmt.Errorf("table %s holds a value of type %T, want integers and text", table, value)
		}
	}
	sum := blake3.Sum256(b)
	return hash(sum[:16]), nil
}
