package testserver

import (
	"os"
	"path/filepath"
)

// The variables name the program of another server than the installed one.
const (
	mariadbVariable  = "HOLDFAST_TEST_MARIADB"
	mysqlVariable    = "HOLDFAST_TEST_MYSQL"
	postgresVariable = "HOLDFAST_TEST_POSTGRES"
	redisVariable    = "HOLDFAST_TEST_REDIS"
)

// beside returns the path of the first of names that lies with server: in its
// directory, or in the directory bin beside that. It is "" where there is none.
func beside(server string, names ...string) string {
	dir := filepath.Dir(server)
	for _, name := range names {
		for _, path := range []string{filepath.Join(dir, name), filepath.Join(filepath.Dir(dir), "bin", name)} {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	return ""
}
