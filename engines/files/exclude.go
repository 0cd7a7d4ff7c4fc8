package files

import (
	"fmt"
	"slices"
	"strings"
)

// Patterns follow gitignore(5). They are matched here, and not by a library,
// because a wrong match silently leaves somebody's files out of a snapshot: of
// the libraries looked at, one takes "a/**" for a itself, gives "**/a/b" up
// after its first a and lets "!dir/" bring back every file in dir; another takes
// any two bytes that are not UTF-8 for the same one. The tests compare with git.

// pattern is one line of an exclude list.
type pattern struct {
	segments []segment
	anchored bool // compared with the whole path; otherwise with the last name
	folder   bool // matches directories only
	include  bool // takes back what an earlier line excluded
}

// segment is what stands between two slashes.
type segment struct {
	deep  bool // "**": any number of names
	atoms []atom
}

// atom matches one byte of a name, or, as a star, any number of them.
type atom struct {
	star bool
	set  [4]uint64
}

func (a *atom) add(c byte)        { a.set[c>>6] |= 1 << (c & 63) }
func (a *atom) holds(c byte) bool { return a.set[c>>6]&(1<<(c&63)) != 0 }
func (a *atom) addRange(lo, hi byte) { // nothing where hi < lo
	for c := int(lo); c <= int(hi); c++ {
		a.add(byte(c))
	}
}

func (a *atom) negate() {
	for i := range a.set {
		a.set[i] = ^a.set[i]
	}
}

// parsePatterns reads an exclude list; lines that are empty or comments count for nothing.
func parsePatterns(lines []string) ([]pattern, error) {
	var patterns []pattern
	for _, line := range lines {
		p, ok, err := parsePattern(line)
		if err != nil {
			return nil, fmt.Errorf("exclude pattern %q: %w", line, err)
		}
		if ok {
			patterns = append(patterns, p)
		}
	}
	return patterns, nil
}

func parsePattern(line string) (p pattern, ok bool, err error) {
	line = trimSpaces(line)
	if strings.HasPrefix(line, "#") {
		return p, false, nil
	}
	line, p.include = strings.CutPrefix(line, "!")
	line, p.folder = strings.CutSuffix(line, "/")
	p.anchored = strings.Contains(line, "/")
	if line = strings.TrimPrefix(line, "/"); line == "" {
		return p, false, nil
	}
	p.segments, err = parseSegments(line)
	return p, true, err
}

// trimSpaces removes trailing spaces, but for one that a backslash protects.
func trimSpaces(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' && i+1 < len(line) {
			i++
			end = i + 1
		} else if line[i] != ' ' {
			end = i + 1
		}
	}
	return line[:end]
}

func parseSegments(line string) ([]segment, error) {
	segments := []segment{{}}
	stars, bytes := 0, 0 // in the current segment
	finish := func() {
		s := &segments[len(segments)-1]
		s.deep = stars >= 2 && bytes == 0
		stars, bytes = 0, 0
	}
	for len(line) > 0 {
		if line[0] == '/' || strings.HasPrefix(line, `\/`) {
			finish()
			line = line[strings.IndexByte(line, '/')+1:]
			segments = append(segments, segment{})
			continue
		}
		s := &segments[len(segments)-1]
		if line[0] == '*' {
			if n := len(s.atoms); n == 0 || !s.atoms[n-1].star {
				s.atoms = append(s.atoms, atom{star: true})
			}
			stars, line = stars+1, line[1:]
			continue
		}
		a, rest, err := parseAtom(line)
		if err != nil {
			return nil, err
		}
		s.atoms, line, bytes = append(s.atoms, a), rest, bytes+1
	}
	finish()
	return slices.CompactFunc(segments, func(a, b segment) bool { return a.deep && b.deep }), nil
}

func parseAtom(p string) (a atom, rest string, err error) {
	switch p[0] {
	case '?':
		a.negate()
	case '[':
		return parseClass(p[1:])
	case '\\':
		if p = p[1:]; p == "" {
			return a, "", fmt.Errorf("ends with a backslash")
		}
		a.add(p[0])
	default:
		a.add(p[0])
	}
	return a, p[1:], nil
}

var classes = map[string]string{
	"alnum": "09AZaz", "alpha": "AZaz", "blank": "  \t\t", "cntrl": "\x00\x1f\x7f\x7f", "digit": "09",
	"graph": "!~", "lower": "az", "print": " ~", "punct": "!/:@[`{~", "space": "\t\r  ", "upper": "AZ", "xdigit": "09AFaf",
}

// parseClass reads what follows a '['. As its first character ']' stands for itself.
func parseClass(p string) (a atom, rest string, err error) {
	open := fmt.Errorf("a [ is not closed")
	negated := strings.HasPrefix(p, "!") || strings.HasPrefix(p, "^")
	if negated {
		p = p[1:]
	}
	last := -1 // the character before, from which a range may begin
	for first := true; ; first = false {
		if p == "" {
			return a, "", open
		}
		switch c := p[0]; {
		case c == ']' && !first:
			if negated {
				a.negate()
			}
			return a, p[1:], nil
		case c == '-' && last >= 0 && len(p) > 1 && p[1] != ']':
			var hi byte
			if hi, p, err = classByte(p[1:]); err != nil {
				return a, "", err
			}
			a.addRange(byte(last), hi)
			last = -1
		case strings.HasPrefix(p, "[:") && strings.IndexByte(p, ']') > 2 && p[strings.IndexByte(p, ']')-1] == ':':
			end := strings.IndexByte(p, ']')
			ranges, ok := classes[p[2:end-1]]
			if !ok {
				return a, "", fmt.Errorf("unknown class %s", p[:end+1])
			}
			for i := 0; i < len(ranges); i += 2 {
				a.addRange(ranges[i], ranges[i+1])
			}
			p, last = p[end+1:], -1
		default:
			if c, p, err = classByte(p); err != nil {
				return a, "", err
			}
			a.add(c)
			last = int(c)
		}
	}
}

func classByte(p string) (c byte, rest string, err error) {
	if p[0] == '\\' {
		p = p[1:]
	}
	if p == "" {
		return 0, "", fmt.Errorf("a [ is not closed")
	}
	return p[0], p[1:], nil
}

// excludedBy reports what the last pattern that matches says. path is the
// thing's names from the service's downwards; whoever walks asks for every
// directory on the way, and stops at what is excluded.
func excludedBy(patterns []pattern, path []string, folder bool) bool {
	for _, p := range slices.Backward(patterns) {
		if p.folder && !folder {
			continue
		}
		matches := false
		if p.anchored {
			matches = matchPath(p.segments, path)
		} else {
			matches = matchName(p.segments[0].atoms, path[len(path)-1])
		}
		if matches {
			return !p.include
		}
	}
	return false
}

func matchPath(segments []segment, path []string) bool {
	for i, s := range segments {
		if s.deep {
			if i == len(segments)-1 {
				return len(path) > 0 // everything inside, not the directory itself
			}
			for skip := range path {
				if matchPath(segments[i+1:], path[skip:]) {
					return true
				}
			}
			return false
		}
		if len(path) == 0 || !matchName(s.atoms, path[0]) {
			return false
		}
		path = path[1:]
	}
	return len(path) == 0
}

// matchName goes back to the last star only, which is enough: an earlier star
// could not take up anything that the last one cannot.
func matchName(atoms []atom, name string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(name) {
		switch {
		case i < len(atoms) && atoms[i].star:
			star, mark = i, j
			i++
		case i < len(atoms) && atoms[i].holds(name[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(atoms) && atoms[i].star {
		i++
	}
	return i == len(atoms)
}
