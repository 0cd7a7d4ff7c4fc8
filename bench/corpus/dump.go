package corpus

import (
	"bufio"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// DumpFile is the one file of the Dump corpus.
const DumpFile = "shop.sql"

// statementSize is where an extended INSERT ends and the next begins, as
// mysqldump's net_buffer_length does it.
const statementSize = 1_046_528

// Dump is one SQL dump as mysqldump writes it, and nothing beside it.
type Dump struct {
	Seed uint64
	Size int64 // bytes on the first day, met within two per cent
}

// Create writes the dump of the first day into dir.
func (d Dump) Create(ctx context.Context, dir string) error { return d.NextDay(ctx, dir, 0) }

// NextDay replaces the dump by that of the given day, counted from 1.
func (d Dump) NextDay(ctx context.Context, dir string, day int) error {
	return writeFile(filepath.Join(dir, DumpFile), func(w *bufio.Writer) error { return d.Write(ctx, w, day) })
}

// News writes into dir the rows that were updated or added on a day, in one file.
func (d Dump) News(ctx context.Context, dir string, day int) error {
	return writeFile(filepath.Join(dir, DumpFile), func(w *bufio.Writer) error {
		for number, t := range tables {
			rows := d.history(number, t)
			before := rows.count(day - 1)
			var row []byte
			for id := range rows.count(day) {
				if id%4096 == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				version, exists := rows.version(id, day)
				if !exists || version != day && id < before {
					continue
				}
				row = append(t.row(row[:0], id, rows.row(id, version)), '\n')
				if _, err := w.Write(row); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// history returns what became of the rows of one of the tables.
func (d Dump) history(number int, t table) history {
	return history{
		seed:  uint64(*newSource(d.Seed, partDump, uint64(number))),
		first: int(d.Size * int64(t.share) / 100 / int64(t.mean)),
	}
}

// Write writes the dump of the given day: 0 is the first.
func (d Dump) Write(ctx context.Context, w *bufio.Writer, day int) error {
	fmt.Fprintf(w, "-- MySQL dump 10.19  Distrib 10.11.6, for debian-linux-gnu (x86_64)\n--\n-- Host: 127.0.0.1    Database: shop\n%s\n", dumpHead)
	for number, t := range tables {
		if err := d.writeTable(ctx, w, number, t, day); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "-- Dump completed on %s\n", firstDay.AddDate(0, 0, day).Format(time.DateTime))
	return err
}

const dumpHead = `-- ------------------------------------------------------
/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
`

func (d Dump) writeTable(ctx context.Context, w *bufio.Writer, number int, t table, day int) error {
	fmt.Fprintf(w, "--\n-- Table structure for table `%s`\n--\n\nDROP TABLE IF EXISTS `%s`;\nCREATE TABLE `%s` (\n%s\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n\n", t.name, t.name, t.name, t.columns)
	fmt.Fprintf(w, "LOCK TABLES `%s` WRITE;\n/*!40000 ALTER TABLE `%s` DISABLE KEYS */;\n", t.name, t.name)
	rows := d.history(number, t)
	var row []byte
	length := 0
	for id := range rows.count(day) {
		version, exists := rows.version(id, day)
		if !exists {
			continue
		}
		if id%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row = t.row(row[:0], id, rows.row(id, version))
		switch {
		case length == 0:
			length, _ = fmt.Fprintf(w, "INSERT INTO `%s` VALUES (", t.name)
		case length+len(row) > statementSize:
			w.WriteString(");\n")
			length, _ = fmt.Fprintf(w, "INSERT INTO `%s` VALUES (", t.name)
		default:
			w.WriteString("),(")
			length += 3
		}
		w.Write(row)
		length += len(row)
	}
	if length > 0 {
		w.WriteString(");\n")
	}
	_, err := fmt.Fprintf(w, "/*!40000 ALTER TABLE `%s` ENABLE KEYS */;\nUNLOCK TABLES;\n\n", t.name)
	return err
}

// A history says what became of the rows of a table: each day 0.4 % of them are
// updated, rising to 10 % towards the newest within their newest tenth; 0.2 % are
// deleted; 1 % are appended.
type history struct {
	seed  uint64
	first int // rows on the first day
}

// count is the number of rows that ever existed up to day.
func (h history) count(day int) int {
	rows := h.first
	for range day {
		rows += rows / 100
	}
	return rows
}

// version is the last day on which the row with that id was written, 0 if it was
// never updated since the first; exists is false once it was deleted.
func (h history) version(id, day int) (version int, exists bool) {
	rows := h.first
	for today := 1; today <= day; today++ {
		if id < rows {
			fate := newSource(h.seed, partChange, uint64(today), uint64(id))
			if fate.chance(2_000) {
				return 0, false
			}
			fromEnd, tenth := rows-id, rows/10+1
			if fate.chance(4_000 + 96_000*max(0, tenth-fromEnd)/tenth) {
				version = today
			}
		}
		rows += rows / 100
	}
	return version, true
}

// row returns the source of one version of a row.
func (h history) row(id, version int) *source {
	return newSource(h.seed, uint64(id), uint64(version))
}

// A table is one kind of row. share is its part of a dump's bytes in per cent and
// mean the measured mean length of its rows.
type table struct {
	name, columns string
	share, mean   int
	row           func(b []byte, id int, s *source) []byte
}

var tables = []table{
	{"shop_articles", "  `id` bigint unsigned NOT NULL,\n  `author` int NOT NULL,\n  `slug` varchar(200) NOT NULL,\n  `title` text NOT NULL,\n  `body` longtext NOT NULL,\n  `status` varchar(20) NOT NULL,\n  `created` datetime NOT NULL,\n  `modified` datetime NOT NULL,\n  `guid` varchar(255) NOT NULL,\n  PRIMARY KEY (`id`)", 30, 975, articleRow},
	{"shop_comments", "  `id` bigint unsigned NOT NULL,\n  `article` bigint unsigned NOT NULL,\n  `author` tinytext NOT NULL,\n  `email` varchar(100) NOT NULL,\n  `address` varchar(45) NOT NULL,\n  `created` datetime NOT NULL,\n  `body` text NOT NULL,\n  `approved` tinyint NOT NULL,\n  PRIMARY KEY (`id`)", 40, 259, commentRow},
	{"shop_orders", "  `id` bigint unsigned NOT NULL,\n  `customer` bigint unsigned NOT NULL,\n  `number` char(32) NOT NULL,\n  `status` varchar(20) NOT NULL,\n  `total` decimal(12,2) NOT NULL,\n  `tax` decimal(12,2) NOT NULL,\n  `city` varchar(80) NOT NULL,\n  `street` varchar(80) NOT NULL,\n  `created` datetime NOT NULL,\n  `paid` datetime DEFAULT NULL,\n  PRIMARY KEY (`id`)", 30, 134, orderRow},
}

func articleRow(b []byte, id int, s *source) []byte {
	b = strconv.AppendInt(b, int64(id+1), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(s.below(400)+1), 10)
	first, second, third := language().word(s), language().word(s), language().word(s)
	b = fmt.Appendf(b, ",'%s-%s-%s','%s %s %s','", first, second, third, first, second, third)
	b = language().appendProse(b, s, s.between(200, 1400))
	b = append(b, "','publish','"...)
	b = appendTime(b, int64(id)*600+int64(s.below(600)))
	b = append(b, "','"...)
	b = appendTime(b, int64(id)*600+int64(s.below(90*86400)))
	b = append(b, "','https://shop.example/?p="...)
	b = strconv.AppendInt(b, int64(id+1), 10)
	return append(b, '\'')
}

func commentRow(b []byte, id int, s *source) []byte {
	b = strconv.AppendInt(b, int64(id+1), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(s.below(id/8+1)+1), 10)
	name := language().word(s)
	b = fmt.Appendf(b, ",'%s','%s%d@%s.example','%d.%d.%d.%d','", name, name, s.below(1000), language().word(s), s.between(1, 224), s.below(256), s.below(256), s.between(1, 255))
	b = appendTime(b, int64(id)*70+int64(s.below(70)))
	b = append(b, "','"...)
	b = language().appendProse(b, s, s.between(30, 240))
	return append(b, "',1"...)
}

func orderRow(b []byte, id int, s *source) []byte {
	b = strconv.AppendInt(b, int64(id+1), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(s.below(id/3+10)+1), 10)
	b = fmt.Appendf(b, ",'%016x%016x','", s.next(), s.next())
	b = append(b, [...]string{"pending", "processing", "completed", "completed", "completed", "refunded"}[s.below(6)]...)
	total := s.between(300, 40_000)
	b = fmt.Appendf(b, "',%d.%02d,%d.%02d,'%s','%s %d','", total/100, total%100, total/500, total/5%100, language().word(s), language().word(s), s.between(1, 200))
	b = appendTime(b, int64(id)*50+int64(s.below(50)))
	if s.below(6) == 0 {
		return append(b, "',NULL"...)
	}
	b = append(b, "','"...)
	b = appendTime(b, int64(id)*50+int64(s.below(86_400)))
	return append(b, '\'')
}

// firstDay is the day of the first dump.
var firstDay = time.Date(2026, 1, 12, 3, 30, 0, 0, time.UTC)

// appendTime appends a moment, in seconds since the shop opened.
func appendTime(b []byte, seconds int64) []byte {
	return time.Unix(1_500_000_000+seconds, 0).UTC().AppendFormat(b, time.DateTime)
}
