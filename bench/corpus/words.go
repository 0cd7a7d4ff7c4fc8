package corpus

import "sync"

// vocabularySize is how many words the corpus knows.
const vocabularySize = 6000

// A vocabulary is a list of words and a table of draws from it in which, as in
// any language, the k-th word is 1/k times as frequent as the first.
type vocabulary struct {
	words []string
	draws [1 << 16]uint16
}

// language is the one vocabulary of all corpora, whatever the seed.
var language = sync.OnceValue(newVocabulary)

func newVocabulary() *vocabulary {
	onsets := []string{"b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "w", "br", "ch", "pl", "sh", "st", "th", "tr"}
	vowels := []string{"a", "e", "i", "o", "u", "a", "e", "i", "o", "ea", "ou"}
	codas := []string{"", "", "", "", "", "l", "n", "r", "s", "t", "nd", "ng"}
	s := newSource(1)
	v := &vocabulary{words: make([]string, 0, vocabularySize)}
	seen := map[string]bool{}
	for len(v.words) < vocabularySize {
		var word string
		for range min(len(v.words)/150+1, s.between(1, 4)) { // frequent words are short
			word += onsets[s.below(len(onsets))] + vowels[s.below(len(vowels))] + codas[s.below(len(codas))]
		}
		if !seen[word] {
			seen[word] = true
			v.words = append(v.words, word)
		}
	}
	v.fillDraws()
	return v
}

// fillDraws gives the k-th word a share of the draws in proportion to 1/(k+2).
func (v *vocabulary) fillDraws() {
	const unit = 1 << 32
	total := 0
	for k := range v.words {
		total += unit / (k + 3)
	}
	word, reached := 0, unit/3
	for i := range v.draws {
		for reached < total/len(v.draws)*i && word < len(v.words)-1 {
			word++
			reached += unit / (word + 3)
		}
		v.draws[i] = uint16(word)
	}
}

// word draws a word.
func (v *vocabulary) word(s *source) string { return v.words[v.draws[s.next()>>48]] }

// appendSentence appends a sentence of the given number of words.
func (v *vocabulary) appendSentence(b []byte, s *source, words int) []byte {
	for i := range words {
		start := len(b)
		b = append(b, v.word(s)...)
		if i == 0 {
			b[start] -= 'a' - 'A'
		}
		switch {
		case i == words-1:
			b = append(b, '.')
		case s.below(12) == 0:
			b = append(b, ", "...)
		default:
			b = append(b, ' ')
		}
	}
	return b
}

// appendProse appends sentences until b has grown by at least n bytes.
func (v *vocabulary) appendProse(b []byte, s *source, n int) []byte {
	for end := len(b) + n; len(b) < end; {
		b = v.appendSentence(b, s, s.between(5, 16))
		b = append(b, ' ')
	}
	return b
}
