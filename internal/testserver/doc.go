// Package testserver starts real servers for tests and benchmarks: private
// ones, on a scratch directory, a free port of 127.0.0.1 and a unix socket, with
// small buffers. A server that is not installed fails the test with the line
// that installs it.
//
//	server := testserver.MariaDB(t)
//	server.Exec("CREATE DATABASE shop")
//	url := server.URL("root", "shop")
//
// Rules:
//
//  1. A server ends with its test, and with the test binary, however that ends
//     (Pdeathsig): nothing is left running.
//  2. It never runs as root, and listens on nothing but 127.0.0.1 and its socket.
//  3. What is slow and always the same (initialising an empty data directory)
//     is done once per version and kept in a directory of this user beneath
//     os.TempDir; every server works on a copy.
//
// Another version than the installed one is named by the path of its program, and
// all tests run on it; its clients are found beside it, as packages lay them out:
//
//	HOLDFAST_TEST_MARIADB=/somewhere/usr/sbin/mariadbd
//	HOLDFAST_TEST_MYSQL=/somewhere/bin/mysqld
//	HOLDFAST_TEST_POSTGRES=/somewhere/17/bin/postgres
//	HOLDFAST_TEST_REDIS=/somewhere/bin/valkey-server
//
// The package is for tests only: it takes a testing.TB and fails it instead of
// returning errors.
package testserver
