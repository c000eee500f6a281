package record_test

import (
	"strings"
	"testing"

	"dxd/record"
)

func TestErasure(t *testing.T) {
	m := manifestOf(t)
	sign := func(answer record.ErasureAnswer, reason string) record.Signed[record.Erasure] {
		s, err := record.Sign(record.Erasure{
			Header: header[record.Erasure]("b", cardOf("b").ID(), "erasure"),
			Asker:  orgOf("a"), Manifest: m.ID(), Item: 3, Answer: answer, Reason: reason,
		}, signWith("b signing"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	open := by(record.OpenErasure, "b")
	s := sign(record.AnswerRefused, "to be kept until 2031")
	accept(t, "erasure.json", s, open)
	cases := changed(t, s.Envelope, []change{
		{"to oneself", "without asker or manifest", `"asker":"` + orgOf("a").String(), `"asker":"` + orgOf("b").String()},
		{"no manifest", "not a record's identifier", m.ID().String(), ""},
		{"an unknown answer", "not an answer", `"refused"`, `"perhaps"`},
		{"erased with a reason", "only a refusal", `"refused"`, `"erased"`},
		{"a reason with an escape", "cannot be shown", `to be kept`, `\u001b[31m`},
		{"a reason that is too long", "are allowed", `to be kept`, strings.Repeat("x", record.MaxReason)},
		{"an item before the first", "of item -1", `"item":3`, `"item":-1`},
		{"an item behind the last", "of item 1024", `"item":3`, `"item":1024`},
		{"an unknown member", "strict JSON", `"item":3`, `"item":3,"kept":true`},
	}, signWith("b signing"))
	refuse(t, "erasure-refused.json", append(cases, wrongSigners(s.Envelope, "b")...), parsed(open))
	if e := sign(record.AnswerErased, ""); e.Body.Reason != "" {
		t.Error("a reason")
	}
}
