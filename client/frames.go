package client

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"dxd/record"
)

// frame is one event of a stream (WHATWG HTML, section 9.2.6, "Interpreting an
// event stream").
type frame struct {
	id, event string
	data      []byte
}

// frames reads a stream of events. touched is called for each line.
type frames struct {
	lines   *bufio.Scanner
	touched func()
}

// maxLine is more than an event ever has.
const maxLine = 1 << 20

func newFrames(r io.Reader, touched func()) *frames {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	return &frames{lines, touched}
}

// next reads up to the end of a frame that has data. What breaks off in the
// middle of one is io.ErrUnexpectedEOF, and no frame.
func (s *frames) next() (frame, error) {
	var f frame
	size := 0
	for s.lines.Scan() {
		s.touched()
		line := s.lines.Text()
		if line == "" && f.data != nil {
			f.data = bytes.TrimSuffix(f.data, []byte("\n"))
			return f, nil
		}
		if line == "" {
			f, size = frame{id: f.id}, 0 // a frame without data is none
			continue
		}
		if size += len(line); size > maxLine {
			return frame{}, record.Errorf(record.Invalid, "an event of more than %d bytes", maxLine)
		}
		f.add(line)
	}
	err := s.lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return frame{}, err
}

// add takes one line; comments and unknown fields say nothing.
func (f *frame) add(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		f.id = value
	case "event":
		f.event = value
	case "data":
		f.data = append(append(f.data, value...), '\n')
	}
}
