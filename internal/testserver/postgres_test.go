package testserver_test

import (
	"os"
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

func TestPostgresKeepsItsDataOverKill(t *testing.T) {
	s := testserver.Postgres(t)
	s.Exec("postgres", "CREATE DATABASE shop")
	s.Exec("shop", "SET synchronous_commit = on", "CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (7)")
	s.Exec("shop", "CHECKPOINT")
	s.Kill()
	s.Start()
	if out := s.Client("shop", strings.NewReader("SELECT id FROM orders")); string(out) != "7\n" {
		t.Errorf("%q", out)
	}
	if dump := string(s.Dump("shop")); !strings.Contains(dump, "CREATE TABLE public.orders") {
		t.Error(dump)
	}
}

func TestPostgresServersArePrivateAndLeaveNothingBehind(t *testing.T) {
	var directory string
	t.Run("use", func(t *testing.T) {
		a, b := testserver.Postgres(t), testserver.Postgres(t)
		a.Exec("postgres", "CREATE DATABASE shop")
		b.Exec("postgres", "CREATE DATABASE shop") // would exist, were they one
		directory = a.Socket
	})
	if _, err := os.Stat(directory); !os.IsNotExist(err) {
		t.Error("the scratch directory is still there:", err)
	}
}
