package api

import (
	"net/http"
	"strconv"
	"strings"

	"dxd/record"
)

// byteRange is the part of a document that is asked for.
type byteRange struct {
	asked         bool
	start, length int64
}

func (b byteRange) whole(size int64) bool { return b.start == 0 && b.length == size }

func (b byteRange) contentRange(size int64) string {
	return "bytes " + strconv.FormatInt(b.start, 10) + "-" + strconv.FormatInt(b.start+b.length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// parseRange reads the Range field (RFC 9110, section 14.2). A field that does
// not parse, several ranges, and a condition that does not hold mean the whole
// document. A range that lies outside is an error.
func parseRange(r *http.Request, size int64, etag string) (byteRange, error) {
	all := byteRange{length: size}
	field := r.Header.Get("Range")
	if condition := r.Header.Get("If-Range"); field == "" || condition != "" && condition != etag {
		return all, nil
	}
	spec, ok := strings.CutPrefix(field, "bytes=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !dash {
		return all, nil
	}
	if first == "" {
		return suffix(last, size, all)
	}
	start, ok := digits(first)
	end := size - 1
	if ok && last != "" {
		end, ok = digits(last)
		ok = ok && end >= start
	}
	if !ok {
		return all, nil
	}
	if start >= size {
		return all, errRange()
	}
	return byteRange{asked: true, start: start, length: min(end, size-1) - start + 1}, nil
}

// suffix is the range of the last n bytes.
func suffix(last string, size int64, all byteRange) (byteRange, error) {
	n, ok := digits(last)
	if !ok {
		return all, nil
	}
	if n == 0 || size == 0 {
		return all, errRange()
	}
	n = min(n, size)
	return byteRange{asked: true, start: size - n, length: n}, nil
}

func errRange() error { return record.Errorf(record.Invalid, "the range lies outside of the document") }

// digits reads a number without a sign. One too large for an int64 counts as
// the largest: no document has so many bytes.
func digits(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}
