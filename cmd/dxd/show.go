package main

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// localTime is how people read a time; JSON has it in UTC.
func localTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// dash stands where there is nothing.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// bytesOf is a size as people read it; that of a document which its sender is
// still reading is below 0.
func bytesOf(n int64) string {
	if n < 0 {
		return "not known yet"
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB"} {
		if f /= 1000; f < 999.95 || unit == "TB" {
			return fmt.Sprintf("%.1f %s", f, unit)
		}
	}
	return "" // not reached: the last unit takes any size
}

// coin is an amount of wei in the unit that people use, whatever the chain
// calls its coin.
func coin(wei string) string {
	n, ok := new(big.Int).SetString(wei, 10)
	if !ok {
		return ""
	}
	digits := fmt.Sprintf("%019d", n)
	whole, rest := digits[:len(digits)-18], strings.TrimRight(digits[len(digits)-18:], "0")
	if rest == "" {
		return whole + " ether"
	}
	return whole + "." + rest + " ether"
}
