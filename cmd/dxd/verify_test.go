package main

import (
	"strings"
	"testing"

	"dxd/record"
)

func TestABlocksHashIsReadAsPeopleHaveIt(t *testing.T) {
	digits := strings.Repeat("0123456789abcdef", 4)
	want, err := record.ParseHash("0x" + digits)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"0x" + digits, digits, strings.ToUpper(digits), "0X" + strings.ToUpper(digits), " 0x" + digits + "\n"} {
		if got, err := blockHash(s); err != nil || got != want {
			t.Errorf("%q reads as %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0x", digits[:62], digits + "00", "0x0x" + digits[2:], "0x" + digits[:63] + "g", "latest", "\x1b[2J"} {
		if got, err := blockHash(s); err == nil || !got.IsZero() || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q reads as %s, %v", s, got, err)
		}
	}
}
