package testserver_test

import (
	"os"
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

func TestMariaDBAndMySQLKeepTheirDataOverKillAndRestart(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) { keepsData(t, testserver.MariaDB(t, testserver.Binlog)) })
	t.Run("MySQL", func(t *testing.T) { keepsData(t, testserver.MySQL(t)) })
}

func keepsData(t *testing.T, s *testserver.MySQLServer) {
	s.Exec("CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)", "INSERT INTO shop.orders VALUES (7)")
	for name, again := range map[string]func(){
		"killed":    func() { s.Kill(); s.Start() },
		"restarted": s.Restart,
	} {
		again()
		if out := s.Client("shop", strings.NewReader("SELECT id FROM orders")); string(out) != "id\n7\n" {
			t.Errorf("%s: %q", name, out)
		}
	}
	if dump := string(s.Dump("shop")); !strings.Contains(dump, "CREATE TABLE `orders`") {
		t.Error(dump)
	}
}

func TestMySQLServersArePrivate(t *testing.T) {
	a, b := testserver.MariaDB(t), testserver.MariaDB(t)
	a.Exec("CREATE DATABASE shop")
	b.Exec("CREATE DATABASE shop") // would exist, were they one
	if a.Port == b.Port || a.Socket == b.Socket {
		t.Error(a, b)
	}
}

func TestMariaDBLeavesNothingBehind(t *testing.T) {
	var socket string
	t.Run("use", func(t *testing.T) { socket = testserver.MariaDB(t).Socket })
	if _, err := os.Stat(strings.TrimSuffix(socket, "/socket")); !os.IsNotExist(err) {
		t.Error("the scratch directory is still there:", err)
	}
}
