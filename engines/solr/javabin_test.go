package solr

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestJavabin compares with what Solr's JavaBinCodec is documented to write.
func TestJavabin(t *testing.T) {
	long := strings.Repeat("x", 31+200)
	dictionaries := make([]dictionary, 33)
	for name, c := range map[string]struct {
		fields []field
		want   []byte
	}{
		"nothing":         {nil, []byte{2, 0xc0}},
		"a string":        {[]field{{"ab", "c"}}, []byte{2, 0xc1, 0x22, 'a', 'b', 0x21, 'c'}},
		"30 characters":   {[]field{{"a", long[:30]}}, slices.Concat([]byte{2, 0xc1, 0x21, 'a', 0x3e}, []byte(long[:30]))},
		"31 characters":   {[]field{{"a", long[:31]}}, slices.Concat([]byte{2, 0xc1, 0x21, 'a', 0x3f, 0}, []byte(long[:31]))},
		"231 characters":  {[]field{{"a", long}}, slices.Concat([]byte{2, 0xc1, 0x21, 'a', 0x3f, 0xc8, 1}, []byte(long))},
		"a long":          {[]field{{"", int64(-2)}}, []byte{2, 0xc1, 0x20, 7, 255, 255, 255, 255, 255, 255, 255, 254}},
		"a map":           {[]field{{"", dictionary{{"k", "v"}}}}, []byte{2, 0xc1, 0x20, 10, 1, 0x21, 'k', 0x21, 'v'}},
		"an array":        {[]field{{"", dictionaries[:2]}}, []byte{2, 0xc1, 0x20, 0x82, 10, 0, 10, 0}},
		"an array of 33":  {[]field{{"", dictionaries}}, slices.Concat([]byte{2, 0xc1, 0x20, 0x9f, 2}, bytes.Repeat([]byte{10, 0}, 33))},
		"two of the kind": {[]field{{"a", ""}, {"b", ""}}, []byte{2, 0xc2, 0x21, 'a', 0x20, 0x21, 'b', 0x20}},
	} {
		if got := appendAnswer(nil, c.fields...); !bytes.Equal(got, c.want) {
			t.Errorf("%s: % x, want % x", name, got, c.want)
		}
	}
}
