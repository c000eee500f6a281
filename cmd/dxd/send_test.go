package main

import (
	"fmt"
	"testing"

	"dxd/exchange"
	"dxd/record"
)

// A call with more recipients than a daemon takes is refused before one is asked.
func TestTheRecipientsOfACallAreBounded(t *testing.T) {
	o := sendOptions{wait: goals[0]}
	for n := range exchange.MaxRecipients {
		o.to = append(o.to, fmt.Sprint("partner-", n))
	}
	if err := o.check(); err != nil {
		t.Errorf("%d recipients: %v", len(o.to), err)
	}
	o.to = append(o.to, "one-more")
	if err := o.check(); record.KindOf(err) != record.Invalid || record.Hint(err) == "" {
		t.Errorf("%d recipients: %v", len(o.to), err)
	}
}
