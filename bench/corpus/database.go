package corpus

import (
	"bufio"
	"context"
	"fmt"
	"io"
)

// Dialect is how statements are written.
type Dialect uint8

const (
	MySQL Dialect = iota // of MariaDB, too
	Postgres
)

// Database is what a content management system keeps in MariaDB, MySQL or PostgreSQL,
// as statements: articles, comments and orders with their indexes, and a cache.
//
// On each day 0.3 % of the rows are updated, and 3 % of the newest twentieth; 1 % are
// appended; the cache is replaced.
type Database struct {
	Seed uint64
	Size int64 // of its dump on the first day, in bytes, met within some per cent
	Dialect
}

// databaseKeys are the indexes beside the primary keys.
var databaseKeys = map[string]string{
	"shop_articles": ",\n  UNIQUE KEY `guid` (`guid`),\n  KEY `slug` (`slug`),\n  KEY `status` (`status`,`created`),\n  KEY `author` (`author`)",
	"shop_comments": ",\n  KEY `article` (`article`,`created`),\n  KEY `email` (`email`)",
	"shop_orders":   ",\n  KEY `customer` (`customer`),\n  KEY `number` (`number`),\n  KEY `status` (`status`,`created`)",
}

const (
	cacheColumns = "  `cid` char(32) NOT NULL,\n  `data` longblob NOT NULL,\n  `expire` int NOT NULL,\n  `created` datetime NOT NULL,\n  PRIMARY KEY (`cid`),\n  KEY `expire` (`expire`)"
	cacheMean    = 4000 // bytes of a row
	cacheShare   = 26   // one in that many bytes of the database
	// insertSize is from where on an INSERT ends: small enough for any server.
	insertSize = 256 << 10
)

// DatabaseTables are the names of all tables of a Database.
func DatabaseTables() []string {
	names := []string{"shop_cache"}
	for _, t := range tables {
		names = append(names, t.name)
	}
	return names
}

// Write writes the statements that make the database of day 0, or of that of the day
// before the database of day.
func (d Database) Write(ctx context.Context, to io.Writer, day int) error {
	w := bufio.NewWriterSize(to, 1<<20)
	fmt.Fprint(w, d.settings())
	for number, t := range tables {
		if day == 0 {
			fmt.Fprint(w, d.create(t.name, t.columns+databaseKeys[t.name]))
		}
		if err := d.writeTable(ctx, w, number, t, day); err != nil {
			return err
		}
	}
	if day == 0 {
		fmt.Fprint(w, d.create("shop_cache", cacheColumns))
	} else {
		fmt.Fprint(w, "TRUNCATE shop_cache;\n")
	}
	d.writeCache(w, day)
	return w.Flush()
}

// writeTable writes the rows that are new or others on that day.
func (d Database) writeTable(ctx context.Context, w *bufio.Writer, number int, t table, day int) error {
	h := history{seed: uint64(*newSource(d.Seed, partDatabase, uint64(number))), first: int(d.Size * int64(t.share) / 100 / int64(t.mean))}
	old := 0
	if day > 0 {
		old = h.count(day - 1)
	}
	statement := insert{w: w}
	statement.head, statement.tail = d.replace(t)
	var row []byte
	for id := range h.count(day) {
		if id%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if id < old && !d.updated(h.seed, id, old, day) {
			continue
		}
		row = t.row(row[:0], id, h.row(id, day))
		statement.add(row)
	}
	statement.end()
	return nil
}

// updated reports whether a row that is there already is written anew on that day.
func (d Database) updated(seed uint64, id, rows, day int) bool {
	chance := 3_000 // in a million
	if id >= rows-rows/20 {
		chance = 30_000
	}
	return newSource(seed, partChange, uint64(day), uint64(id)).chance(chance)
}

func (d Database) writeCache(w *bufio.Writer, day int) {
	statement := insert{w: w, head: "INSERT INTO shop_cache VALUES "}
	var row []byte
	for id := range int(d.Size / cacheShare / cacheMean) {
		s := newSource(d.Seed, partDatabase, partChange, uint64(day), uint64(id))
		row = fmt.Appendf(row[:0], "'%016x%016x','", s.next(), s.next())
		row = language().appendProse(row, s, s.between(cacheMean/2, cacheMean*3/2))
		row = fmt.Appendf(row, "',%d,'", s.below(1<<30))
		row = append(appendTime(row, int64(day)*86_400+int64(s.below(86_400))), '\'')
		statement.add(row)
	}
	statement.end()
}

// insert collects rows to statements of a transaction each.
type insert struct {
	w      *bufio.Writer
	head   string
	tail   string
	length int
}

func (i *insert) add(row []byte) {
	switch {
	case i.length == 0:
		i.w.WriteString(i.head)
	case i.length > insertSize:
		i.end()
		i.w.WriteString(i.head)
	default:
		i.w.WriteByte(',')
	}
	i.w.WriteByte('(')
	i.w.Write(row)
	i.w.WriteByte(')')
	i.length += len(row) + 3
}

func (i *insert) end() {
	if i.length > 0 {
		i.w.WriteString(i.tail + ";\n")
		i.length = 0
	}
}
