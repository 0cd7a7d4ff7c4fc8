package environment_test

import (
	"strings"
	"testing"

	"holdfast/internal/environment"
)

func TestServiceURLs(t *testing.T) {
	lookup := variables(
		"PLAIN=secret", `HARD=p/a@s:s?w#o%2Fr&d=é $x${Y}'"\`, "EMPTY=", "USER=sh@op", "HOST=db.internal", "PORT=3307",
		"DATABASE=a/b?c%41", "SOCKET=/run/my sql&x=1.sock", "DATABASE_URL=mysql://u:p%2Fw@h:3306/shop?x=1", "LITERAL_URL=redis://:a$b@h",
		"NESTED=${PLAIN}",
	)
	for _, test := range []struct {
		service, url, password string
	}{
		{"mysql://shop:plain@127.0.0.1:3306/shop", "mysql://shop@127.0.0.1:3306/shop", "plain"},
		{"mysql://shop:p%2Fa%40s%3As%25@h/shop", "mysql://shop@h/shop", "p/a@s:s%"},
		{"mysql://shop:a:b@h/shop", "mysql://shop@h/shop", "a:b"},
		{"mysql://shop:a@b@h/shop", "mysql://shop@h/shop", "a@b"},
		{"mysql://shop:a+b@h/shop", "mysql://shop@h/shop", "a+b"},
		{"mysql://shop:$${PLAIN}@h/shop", "mysql://shop@h/shop", "${PLAIN}"},
		{"mysql://shop:a$$$$b@h/shop", "mysql://shop@h/shop", "a$$b"},
		{"MySQL://h/shop", "mysql://h/shop", ""},
		{"redis://:only@h:6379/0", "redis://h:6379/0", "only"},

		{"mysql://shop:${PLAIN}@h/shop", "mysql://shop@h/shop", "secret"},
		{"mysql://shop:${HARD}@h/shop", "mysql://shop@h/shop", `p/a@s:s?w#o%2Fr&d=é $x${Y}'"\`},
		{"mysql://shop:${NESTED}@h/shop", "mysql://shop@h/shop", "${PLAIN}"},
		{"mysql://shop:${EMPTY}@h/shop", "mysql://shop@h/shop", ""},
		{"mysql://shop:a%2F${HARD}%40z@h/shop", "mysql://shop@h/shop", `a/p/a@s:s?w#o%2Fr&d=é $x${Y}'"\@z`},
		{"mysql://${USER}:${PLAIN}@${HOST}:${PORT}/${DATABASE}", "mysql://sh%40op@db.internal:3307/a/b%3Fc%2541", "secret"},
		{"mysql://h:33${PORT}/x", "", ""}, // 333307 is no port
		{"mysql://shop@/shop?socket=${SOCKET}", "mysql://shop@/shop?socket=%2Frun%2Fmy+sql%26x%3D1.sock", ""},
		{"mysql://shop@/shop?socket=/run/mysqld/mysqld.sock", "mysql://shop@/shop?socket=%2Frun%2Fmysqld%2Fmysqld.sock", ""},
		{"${DATABASE_URL}", "mysql://u@h:3306/shop?x=1", "p/w"},
		{"${LITERAL_URL}/2", "redis://h/2", "a$b"},

		{"mysql://[::1]:3306/shop", "mysql://[::1]:3306/shop", ""},
		{"sqlite:/srv/a.db", "sqlite:/srv/a.db", ""},
		{"sqlite:///srv/a.db", "sqlite:/srv/a.db", ""},
		{"sqlite:/srv/100%25 ${USER}/a%3Fb.db", "sqlite:/srv/100%25%20sh@op/a%3Fb.db", ""},
	} {
		for _, form := range []string{"    services: {db: '%s'}", "    services: {db: {url: '%s'}}"} {
			text := strings.Replace(form, "%s", strings.ReplaceAll(test.service, "'", "''"), 1)
			c, err := environment.Load(environment.Input{
				Directory: site(t, "project: p\nrepository: /r\nenvironments:\n  e:\n"+text+"\n"),
				Lookup:    lookup,
			})
			if test.url == "" {
				if err == nil {
					t.Errorf("%s: no error", test.service)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", test.service, err)
				continue
			}
			s := selected(t, c, "e").Services[0]
			if s.URL.String() != test.url || string(s.Password) != test.password {
				t.Errorf("%s\n is %s with password %q\nwant %s with password %q", test.service, s.URL, string(s.Password), test.url, test.password)
			}
		}
	}
}

func TestPasswordApartFromTheURL(t *testing.T) {
	for _, test := range []struct{ password, want string }{
		{"secret", "secret"},
		{"012345", "012345"}, // YAML's numbers are taken as they are written
		{"1e3", "1e3"},
		{"true", "true"},
		{`"a@b/c%41"`, "a@b/c%41"},
		{"${HARD}", "p/@%"},
		{"'$$x'", "$x"},
	} {
		c := load(t, environment.Input{
			Directory: site(t, "project: p\nrepository: /r\nenvironments:\n  e:\n    services:\n      db:\n        url: mysql://u@h/x\n        password: "+test.password+"\n"),
			Lookup:    variables("HARD=p/@%"),
		})
		if got := selected(t, c, "e").Services[0].Password; string(got) != test.want {
			t.Errorf("password: %s is %q, want %q", test.password, string(got), test.want)
		}
	}
}
