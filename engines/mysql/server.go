package mysql

import (
	"fmt"
	"regexp"
	"strconv"
)

// server is the product and version that a session speaks to.
type server struct {
	mysql               bool // MySQL; else MariaDB
	major, minor, patch int
}

var (
	mariadbForm = regexp.MustCompile(`^(?:5\.5\.5-)?(\d{1,4})\.(\d{1,4})\.(\d{1,4})-MariaDB`)
	mysqlForm   = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:-|$)`)
)

// serverOf reads what VERSION() gives, and refuses what this engine cannot save.
func serverOf(version string) (server, error) {
	m, mysql := mariadbForm.FindStringSubmatch(version), false
	if m == nil {
		m, mysql = mysqlForm.FindStringSubmatch(version), true
	}
	if m == nil {
		return server{}, fmt.Errorf("version %s: neither MariaDB nor MySQL", version)
	}
	v := server{mysql: mysql}
	for i, into := range []*int{&v.major, &v.minor, &v.patch} {
		*into, _ = strconv.Atoi(m[i+1]) // at most four digits, as the form has it
	}
	switch {
	case mysql && !v.atLeast(8, 0, 11):
		return v, fmt.Errorf("%v: 8.0.11 or later is needed", v)
	case !mysql && !v.atLeast(10, 5, 0):
		return v, fmt.Errorf("%v: 10.5 or later is needed", v)
	}
	return v, nil
}

func (v server) product() string {
	if v.mysql {
		return "MySQL"
	}
	return "MariaDB"
}

// String returns product and version, as they stand in a snapshot.
func (v server) String() string {
	return fmt.Sprintf("%s %d.%d.%d", v.product(), v.major, v.minor, v.patch)
}

// asAnybody are the privileges to create what anybody else defines, whether or not that
// account exists. SUPER is enough, too.
func (v server) asAnybody() []string {
	switch {
	case !v.mysql:
		return []string{"SET USER"}
	case v.atLeast(8, 2, 0):
		return []string{"SET_ANY_DEFINER", "ALLOW_NONEXISTENT_DEFINER"}
	}
	return []string{"SET_USER_ID"}
}

// restrictsKeys reports whether the server by itself refuses foreign keys to columns
// that are not exactly those of a unique key, which it once let pass.
func (v server) restrictsKeys() bool { return v.mysql && v.atLeast(8, 4, 0) }

// looseKeys lets such foreign keys be created again.
const looseKeys = "SET SESSION restrict_fk_on_non_standard_key = 0"

// forever is what MariaDB says of a row with history until when it is valid, if it
// still is, in a session in UTC: the last TIMESTAMP, which 11.5 moved.
func (v server) forever() string {
	if v.atLeast(11, 5, 0) {
		return "2106-02-07 06:28:15.999999"
	}
	return "2038-01-19 03:14:07.999999"
}

// atLeast reports whether the version is that or a later one.
func (v server) atLeast(major, minor, patch int) bool {
	a, b := [3]int{v.major, v.minor, v.patch}, [3]int{major, minor, patch}
	for i := range a {
		if a[i] != b[i] {
			return a[i] > b[i]
		}
	}
	return true
}
