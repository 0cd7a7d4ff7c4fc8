package mysql

import (
	"net/url"
	"strings"
	"testing"

	"holdfast/engines"
)

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"mysql://shop@db/shop":                                  "tcp db:3306 shop shop",
		"mariadb://shop@127.0.0.1:3307/other":                   "tcp 127.0.0.1:3307 shop other",
		"mysql://shop@[::1]/shop":                               "tcp [::1]:3306 shop shop",
		"mysql://a%40b@db:1/my-%C3%A4.db":                       "tcp db:1 a@b my-ä.db",
		"mysql://shop@localhost/shop?socket=/run/mysqld/x.sock": "unix /run/mysqld/x.sock shop shop",
		"mysql://shop@/shop?socket=/s":                          "unix /s shop shop",
		"mysql://shop@db/shop?tls=preferred":                    "tcp db:3306 shop shop",
	} {
		p, err := placeOf(engines.Service{Name: "db", URL: mustURL(t, text)})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := strings.Join([]string{p.config.Net, p.address, p.user, p.database}, " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"mysql:shop":                         "not an address",
		"mysql://db/shop":                    "no user",
		"mysql://shop@db":                    "no database",
		"mysql://shop@db/":                   "no database",
		"mysql://shop@db/a/b":                "no name of a database",
		"mysql://shop@/shop":                 "no host",
		"mysql://shop:geheim@db/shop":        "password_file",
		"mysql://shop@db/Information_Schema": "server's own",
		"mysql://shop@db/shop?socket=x":      "socket=x",
		"mysql://shop@db/shop?tls=maybe":     "tls=maybe",
		"mysql://shop@db/shop?connections=0": "connections=0",
	} {
		_, err := placeOf(engines.Service{Name: "db", URL: mustURL(t, text)})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v, want …%s…", text, err, want)
		}
	}
}

func TestServers(t *testing.T) {
	for version, want := range map[string]string{
		"10.11.6-MariaDB-0+deb12u1-log": "MariaDB 10.11.6",
		"5.5.5-10.6.12-MariaDB":         "MariaDB 10.6.12",
		"11.4.2-MariaDB":                "MariaDB 11.4.2",
		"8.0.36":                        "MySQL 8.0.36",
		"8.0.35-27-percona":             "MySQL 8.0.35",
		"8.4.2":                         "MySQL 8.4.2",
	} {
		if got, err := serverOf(version); err != nil || got.String() != want {
			t.Errorf("%s: %q, %v", version, got, err)
		}
	}
	for version, want := range map[string]string{
		"5.7.44":                "8.0.11 or later",
		"8.0.mysql_aurora.3.04": "neither",
		"10.4.8-MariaDB":        "10.5 or later",
		"99999999999.1-MariaDB": "neither",
	} {
		if _, err := serverOf(version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestGrants(t *testing.T) {
	lines := []string{
		"GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*AB'",
		"GRANT RELOAD, BINLOG MONITOR ON *.* TO `u`@`%` WITH GRANT OPTION",
		"GRANT ALL PRIVILEGES ON `shop\\_h_\\_%`.* TO `u`@`%`",
		"GRANT SELECT, SHOW VIEW ON `we``b`.* TO `u`@`%`",
		"GRANT SELECT (`id`), INSERT ON `shop`.`orders` TO `u`@`%`",
		"GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `u`@`%`",
		"GRANT `keeper` TO `u`@`%`",
		"GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION",
		"GRANT", "GRANT ,ON", "SET DEFAULT ROLE `keeper` FOR `u`@`%`",
	}
	var g grants
	for _, line := range lines {
		if one, ok := parseGrant(line); ok {
			g = append(g, one)
		}
	}
	if len(g) != 4 {
		t.Errorf("%d lines count, want 4: %v", len(g), g)
	}
	for _, c := range []struct {
		privilege, database string
		want                bool
	}{
		{"RELOAD", "", true}, {"BINLOG MONITOR", "any", true}, {"SELECT", "", false}, {"SELECT", "shop", false},
		{"TRIGGER", "shop_hf_0123456789", true}, {"TRIGGER", "shopxhf_0123456789", false}, {"CREATE VIEW", "SHOP_HR_1", true},
		{"SHOW VIEW", "we`b", true}, {"EVENT", "we`b", false}, {"EXECUTE", "shop", false}, {"TRIGGER", "", false},
	} {
		if got := g.allow(c.privilege, c.database); got != c.want {
			t.Errorf("%s on %q: %v", c.privilege, c.database, got)
		}
	}
}
