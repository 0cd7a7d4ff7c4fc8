package demosite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/zeebo/blake3"
)

// What visitors do. Each action is one change: all of it or nothing.

var (
	errNoSuchRow = errors.New("there is no such row")
	errSoldOut   = errors.New("sold out")
)

// exists fails with errNoSuchRow unless table has a row of that id.
func (t *transaction) exists(table string, id int64) error {
	var found int64
	return missing(table, id, t.tx.QueryRowContext(t.ctx, "SELECT id FROM "+table+" WHERE id = ?", id).Scan(&found))
}

// missing makes errNoSuchRow of the driver's word for it.
func missing(table string, id int64, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s %d: %w", table, id, errNoSuchRow)
	}
	return err
}

// insert puts a new row into table. The rows that it refers to have to exist.
func (s *Site) insert(ctx context.Context, table string, refers []rowKey, values func(seq int64) []any) (id int64, err error) {
	_, err = s.commit(ctx, func(t *transaction) error {
		for _, key := range refers {
			if err := t.exists(key.Table, key.ID); err != nil {
				return err
			}
		}
		if id, err = t.nextID(table); err != nil {
			return err
		}
		return t.put(table, id, values(t.change.Seq)...)
	})
	return id, err
}

func (s *Site) publish(ctx context.Context, author int64, title, body string) (int64, error) {
	return s.insert(ctx, "articles", []rowKey{{"users", author}}, func(seq int64) []any { return []any{author, title, body, seq} })
}

func (s *Site) comment(ctx context.Context, article, author int64, body string) (int64, error) {
	refers := []rowKey{{"articles", article}, {"users", author}}
	return s.insert(ctx, "comments", refers, func(seq int64) []any { return []any{article, author, body, seq} })
}

// edit replaces the body of an article.
func (s *Site) edit(ctx context.Context, article int64, body string) error {
	_, err := s.commit(ctx, func(t *transaction) error {
		if err := t.exists("articles", article); err != nil {
			return err
		}
		var author int64
		var title string
		err := t.tx.QueryRowContext(ctx, "SELECT author, title FROM articles WHERE id = ?", article).Scan(&author, &title)
		if err != nil {
			return err
		}
		return t.put("articles", article, author, title, body, t.change.Seq)
	})
	return err
}

// withdraw removes a comment.
func (s *Site) withdraw(ctx context.Context, comment int64) error {
	_, err := s.commit(ctx, func(t *transaction) error {
		if err := t.exists("comments", comment); err != nil {
			return err
		}
		return t.remove("comments", comment)
	})
	return err
}

// order sells a quantity of a product out of its stock.
func (s *Site) order(ctx context.Context, customer, product, quantity int64) (id int64, err error) {
	_, err = s.commit(ctx, func(t *transaction) error {
		id, err = t.sell(customer, product, quantity)
		return err
	})
	return id, err
}

func (t *transaction) sell(customer, product, quantity int64) (id int64, err error) {
	if err := t.exists("users", customer); err != nil {
		return 0, err
	}
	if err := t.exists("products", product); err != nil {
		return 0, err
	}
	var name string
	var supplied, stock int64
	err = t.tx.QueryRowContext(t.ctx, "SELECT name, supplied, stock FROM products WHERE id = ?", product).Scan(&name, &supplied, &stock)
	if err != nil {
		return 0, err
	}
	if quantity < 1 || quantity > stock {
		return 0, fmt.Errorf("%d of product %d, of which there are %d: %w", quantity, product, stock, errSoldOut)
	}
	if err := t.put("products", product, name, supplied, stock-quantity); err != nil {
		return 0, err
	}
	if id, err = t.nextID("orders"); err != nil {
		return 0, err
	}
	return id, t.put("orders", id, customer, product, quantity, t.change.Seq)
}

// upload stores a file: first the file, whole and under its final name, then its
// row. Once the file is there the row follows, even if the visitor has left.
func (s *Site) upload(ctx context.Context, author int64, content io.Reader) (id int64, err error) {
	var found int64
	if err := s.db.QueryRowContext(ctx, "SELECT id FROM users WHERE id = ?", author).Scan(&found); err != nil {
		return 0, missing("users", author, err)
	}
	temporary, file, err := s.receive(content)
	if err != nil {
		return 0, err
	}
	defer os.Remove(temporary)
	path := filepath.Join(s.place.Uploads, file.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	s.underway.RLock()
	defer s.underway.RUnlock()
	if err := os.Rename(temporary, path); err != nil {
		return 0, err
	}
	return s.register(context.WithoutCancel(ctx), author, file)
}

// register commits the row of a file that is in its place.
func (s *Site) register(ctx context.Context, author int64, file File) (id int64, err error) {
	_, err = s.commit(ctx, func(t *transaction) error {
		if id, err = t.nextID("uploads"); err != nil {
			return err
		}
		t.change.Files = append(t.change.Files, file)
		return t.put("uploads", id, author, file.Path, file.Size, hex.EncodeToString(file.Hash[:]))
	})
	return id, err
}

// receive writes content to a temporary file and gives it a name made from its
// hash, below the uploads.
func (s *Site) receive(content io.Reader) (temporary string, file File, err error) {
	f, err := os.CreateTemp(s.incoming, "upload-")
	if err != nil {
		return "", File{}, err
	}
	sum := blake3.New()
	size, err := io.Copy(io.MultiWriter(f, sum), content)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", File{}, errors.Join(err, os.Remove(f.Name()))
	}
	digest := hash(sum.Sum(nil)[:16])
	path := fmt.Sprintf("2026/%02d/photo-%x.jpg", digest[0]%12+1, digest[:6])
	return f.Name(), File{Path: path, Size: size, Hash: digest}, nil
}
