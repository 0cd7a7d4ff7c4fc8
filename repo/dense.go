package repo

// dense guesses from a sample whether data has nothing for zstd to find: images,
// archives, what is encrypted. It costs a tenth of trying.
//
// It counts how often each byte comes. Of 4,096 random ones it is 16 times, give
// or take 4, and the squares of the counts add up to 4096²/256 + 4096, give or
// take 360. If entropy coding could make them 1 % smaller it would be some 8,000
// more, and where words or records are repeated many times that. What it cannot
// see is a long piece of noise that comes twice; that stays as large as it was.
func dense(data []byte) bool {
	const sample, pieces = 4096, 16 // in many places: an archive has its list of names in one
	const most = sample*sample/256 + sample + 2*sample
	if len(data) < 4*sample {
		return false
	}
	var counts [2][256]uint16 // two, so that equal neighbours do not wait for each other
	for i := range pieces {
		from := (len(data) - sample/pieces) * i / (pieces - 1)
		for p := data[from : from+sample/pieces]; len(p) >= 2; p = p[2:] {
			counts[0][p[0]]++
			counts[1][p[1]]++
		}
	}
	sum := 0
	for i := range counts[0] {
		n := int(counts[0][i]) + int(counts[1][i])
		sum += n * n
	}
	return sum <= most
}
