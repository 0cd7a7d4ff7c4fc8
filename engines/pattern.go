package engines

import "strings"

// Matches reports whether patterns choose a thing of these names: one for most, two
// where a table's name can be written with that of its schema or without. '*'
// stands for any characters, also none, '?' for one, and all others for themselves,
// in the case in which they are written: cache_*. A pattern that begins with '!'
// takes out again what one before it has chosen, so the last that fits counts.
func Matches(patterns []string, names ...string) bool {
	chosen := false
	for _, p := range patterns {
		p, not := strings.CutPrefix(p, "!")
		for _, name := range names {
			if fits([]rune(p), []rune(name)) {
				chosen = !not
			}
		}
	}
	return chosen
}

// fits goes back to the last star only: what an earlier one could take, it can too.
func fits(pattern, name []rune) bool {
	star, from := -1, 0
	p := 0
	for n := 0; n < len(name); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
