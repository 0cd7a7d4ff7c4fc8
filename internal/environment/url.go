package environment

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// serviceURL is a URL taken apart.
type serviceURL struct {
	url      *url.URL
	password Secret
	// literalPassword is set when the password stands in the file itself.
	literalPassword bool
}

// The errors never show a part of the URL: what net/url takes for a port may be
// half a password.
var (
	errNotURL = errors.New("is not a URL; expected one such as mysql://user@host:3306/name or sqlite:/srv/settings.db")
	errEscape = errors.New(`has a "%" that two hex digits must follow; a "%" itself is written %25 (a value from a ${VARIABLE} needs no escaping)`)
	errPort   = errors.New(`has a port that is no number from 1 to 65535 (a "/", "?", "#" or "@" in a password is written %2F, %3F, %23, %40; a value from a ${VARIABLE} needs no escaping)`)
	errPlace  = errors.New(`has an "@" after the server's name (a "/", "?" or "#" in a password is written %2F, %3F, %23; a value from a ${VARIABLE} needs no escaping; an "@" elsewhere is written %40)`)
	errHash   = errors.New(`has a "#"; expected %23 in its place`)
	errHost   = errors.New("has a host name that cannot be one")
	errFile   = errors.New("is the URL of a file; expected sqlite:/absolute/path or sqlite:relative/path, without a server or a query")
)

// parseURL takes a URL apart and only then expands its variables, each part for
// itself, so that a password from a variable may hold "/", "@" and "%". A URL
// that begins with a variable is expanded first: DATABASE_URL holds a whole one.
func parseURL(t template, lookup Lookup) (serviceURL, error) {
	if strings.HasPrefix(t.skeleton, openMark) {
		whole, err := t.text(lookup)
		if err != nil {
			return serviceURL{}, err
		}
		parsed, err := splitURL(template{skeleton: whole}, lookup)
		parsed.literalPassword = false
		return parsed, err
	}
	return splitURL(t, lookup)
}

func splitURL(t template, lookup Lookup) (serviceURL, error) {
	expand := func(part string) (string, error) {
		value, err := t.expand(part, lookup, url.PathUnescape)
		if _, bad := errors.AsType[url.EscapeError](err); bad {
			return "", errEscape
		}
		return value, err
	}
	scheme, rest, ok := strings.Cut(t.skeleton, ":")
	if !ok || !isScheme(scheme) {
		return serviceURL{}, errNotURL
	}
	if strings.Contains(rest, "#") {
		return serviceURL{}, errHash
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, path := "", rest
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexByte(after, '/')
		if end < 0 {
			end = len(after)
		}
		authority, path = after[:end], after[end:]
	}
	result := serviceURL{url: &url.URL{Scheme: strings.ToLower(scheme)}}
	u := result.url
	var err error
	if u.Path, err = expand(path); err != nil {
		return result, err
	}
	if isFile(u) {
		u.OmitHost = true
		if authority != "" || hasQuery || strings.Trim(u.Path, "/") == "" || strings.Contains(u.Path, "\x00") {
			return result, errFile
		}
		return result, nil
	}
	switch {
	case !strings.HasPrefix(rest, "//"):
		return result, errNotURL
	case !strings.Contains(authority, "@") && strings.Contains(path+query, "@"):
		return result, errPlace
	}
	if u.RawQuery, err = expandQuery(query, expand); err != nil {
		return result, err
	}
	user, host := "", authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, host = authority[:at], authority[at+1:]
	}
	if u.Host, err = expandHost(host, expand); err != nil {
		return result, err
	}
	name, password, _ := strings.Cut(user, ":")
	if name, err = expand(name); err != nil {
		return result, err
	}
	if name != "" {
		u.User = url.User(name)
	}
	secret, err := expand(password)
	result.password = Secret(secret)
	result.literalPassword = password != "" && !strings.Contains(password, openMark)
	return result, err
}

// isFile reports whether u is a path on this machine.
func isFile(u *url.URL) bool { return u.Scheme == "sqlite" || u.Scheme == "file" }

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (i == 0 || (s[i] < '0' || s[i] > '9') && s[i] != '+' && s[i] != '-' && s[i] != '.') {
			return false
		}
	}
	return s != ""
}

// expandHost returns host or host:port, and checks both.
func expandHost(authority string, expand func(string) (string, error)) (string, error) {
	host, err := expand(authority)
	if err != nil || host == "" {
		return host, err
	}
	name, port := host, ""
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		name, port = host[:colon], host[colon+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", errPort
		}
	}
	parsed, err := url.Parse("any://" + host)
	if err != nil || parsed.Host != host || parsed.Path != "" || parsed.User != nil || name == "" {
		return "", errHost
	}
	return host, nil
}

// expandQuery returns the query with keys and values expanded and encoded anew.
func expandQuery(query string, expand func(string) (string, error)) (string, error) {
	values := url.Values{}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		var parts [2]string
		for i, part := range []string{key, value} {
			var err error
			if parts[i], err = expand(strings.ReplaceAll(part, "+", "%20")); err != nil {
				return "", err
			}
		}
		values.Add(parts[0], parts[1])
	}
	return values.Encode(), nil
}
