package api

import (
	"net/http"
	"testing"
)

func FuzzRangesLieWithinTheDocument(f *testing.F) {
	for _, field := range []string{"bytes=0-", "bytes=-1", "bytes=5-9", "bytes=9223372036854775807-", "bytes=1-1,2-2", "bytes= 1-2 ", "x"} {
		f.Add(field, int64(10))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		size &= 1<<53 - 1
		part, err := parseRange(&http.Request{Header: http.Header{"Range": {field}}}, size, "")
		if err != nil {
			return
		}
		if part.start < 0 || part.length < 0 || part.start > size-part.length || part.asked && part.length == 0 {
			t.Errorf("%q of %d bytes: %+v", field, size, part)
		}
		if !part.asked && !part.whole(size) {
			t.Errorf("%q: not asked for, and not the whole: %+v", field, part)
		}
	})
}
