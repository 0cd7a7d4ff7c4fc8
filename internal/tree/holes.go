package tree

import "io"

// FillHoles returns the whole content of e, a file, from content, which leaves
// out e's holes: zeros stand in their place.
func FillHoles(e Entry, content io.Reader) io.Reader {
	if len(e.Holes) == 0 {
		return content
	}
	var parts []io.Reader
	var at uint64
	for _, h := range e.Holes {
		if h.Offset > at {
			parts = append(parts, io.LimitReader(content, int64(h.Offset-at)))
		}
		parts = append(parts, io.LimitReader(zeros{}, int64(h.Length)))
		at = h.Offset + h.Length
	}
	return io.MultiReader(append(parts, content)...)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
