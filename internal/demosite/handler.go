package demosite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Bounds of what a visitor may send.
const (
	maxText   = 256 << 10
	maxUpload = 16 << 20
)

// Handler returns the web site.
//
//	GET  /                       how many rows of each kind there are, as JSON
//	GET  /articles/{id}          an article with its comments
//	POST /articles               ?author=  title and body: a new article, its first line the title
//	PUT  /articles/{id}          another body
//	POST /articles/{id}/comments ?author=  a comment
//	DELETE /comments/{id}
//	POST /orders                 ?customer=&product=&quantity=
//	POST /uploads                ?author=  a file
//	GET  /uploads/{id}
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.handle(func(w http.ResponseWriter, r *http.Request) error {
		counts, err := s.counts(r.Context())
		if err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(counts)
	}))
	mux.HandleFunc("GET /articles/{id}", s.handle(s.showArticle))
	mux.HandleFunc("POST /articles", s.changing(func(ctx context.Context, n numbers, body string) (int64, error) {
		title, text, _ := strings.Cut(body, "\n")
		return s.publish(ctx, n("author"), title, text)
	}))
	mux.HandleFunc("PUT /articles/{id}", s.changing(func(ctx context.Context, n numbers, body string) (int64, error) {
		return n("id"), s.edit(ctx, n("id"), body)
	}))
	mux.HandleFunc("POST /articles/{id}/comments", s.changing(func(ctx context.Context, n numbers, body string) (int64, error) {
		return s.comment(ctx, n("id"), n("author"), body)
	}))
	mux.HandleFunc("DELETE /comments/{id}", s.changing(func(ctx context.Context, n numbers, _ string) (int64, error) {
		return n("id"), s.withdraw(ctx, n("id"))
	}))
	mux.HandleFunc("POST /orders", s.changing(func(ctx context.Context, n numbers, _ string) (int64, error) {
		return s.order(ctx, n("customer"), n("product"), n("quantity"))
	}))
	mux.HandleFunc("POST /uploads", s.handle(func(w http.ResponseWriter, r *http.Request) error {
		id, err := s.upload(r.Context(), numbersOf(r)("author"), http.MaxBytesReader(w, r.Body, maxUpload))
		if err != nil {
			return err
		}
		return answer(w, id)
	}))
	mux.HandleFunc("GET /uploads/{id}", s.handle(s.sendUpload))
	return mux
}

// handle answers with the status that an error means.
func (s *Site) handle(do func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := do(w, r)
		switch {
		case err == nil:
		case errors.Is(err, errNoSuchRow):
			http.Error(w, err.Error(), http.StatusNotFound)
		case errors.Is(err, errSoldOut):
			http.Error(w, err.Error(), http.StatusConflict)
		default:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// numbers returns a number of the path or the query; 0, which is no row, where it
// is none.
type numbers func(name string) int64

func numbersOf(r *http.Request) numbers {
	return func(name string) int64 {
		text := r.PathValue(name)
		if text == "" {
			text = r.URL.Query().Get(name)
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
}

// changing handles a request that changes one row and answers with its id.
func (s *Site) changing(do func(ctx context.Context, n numbers, body string) (int64, error)) http.HandlerFunc {
	return s.handle(func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxText))
		if err != nil {
			return err
		}
		id, err := do(r.Context(), numbersOf(r), string(body))
		if err != nil {
			return err
		}
		return answer(w, id)
	})
}

func answer(w http.ResponseWriter, id int64) error {
	_, err := fmt.Fprintf(w, "%d\n", id)
	return err
}

func (s *Site) showArticle(w http.ResponseWriter, r *http.Request) error {
	id := numbersOf(r)("id")
	var title, body string
	err := s.db.QueryRowContext(r.Context(), "SELECT title, body FROM articles WHERE id = ?", id).Scan(&title, &body)
	if err != nil {
		return missing("articles", id, err)
	}
	rows, err := s.db.QueryContext(r.Context(), "SELECT name, comments.body FROM comments JOIN users ON users.id = author WHERE article = ? ORDER BY comments.id", id)
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintf(w, "%s\n\n%s\n", title, body)
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return err
		}
		fmt.Fprintf(w, "\n%s: %s\n", name, text)
	}
	return rows.Err()
}

func (s *Site) sendUpload(w http.ResponseWriter, r *http.Request) error {
	id := numbersOf(r)("id")
	var path string
	if err := s.db.QueryRowContext(r.Context(), "SELECT path FROM uploads WHERE id = ?", id).Scan(&path); err != nil {
		return missing("uploads", id, err)
	}
	http.ServeFile(w, r, filepath.Join(s.place.Uploads, path))
	return nil
}

// Serve answers requests on a free port of 127.0.0.1 until stop is called, which
// lets running requests finish.
func (s *Site) Serve() (address string, stop func() error, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := server.Shutdown(ctx)
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
	return "http://" + listener.Addr().String(), stop, nil
}
