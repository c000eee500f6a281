package record_test

import (
	"strings"
	"testing"

	"dxd/record"
)

func epochOf(name string) record.Epoch {
	s := seed(name)
	return record.Epoch(s[:16])
}

func headsOf(t testing.TB) record.Signed[record.Heads] {
	t.Helper()
	s, err := record.Sign(record.Heads{
		Header:  header[record.Heads]("a", cardOf("a").ID(), "heads"),
		Partner: orgOf("b"),
		Sent: []record.SentHead{
			{Epoch: epochOf("epoch"), Lane: record.LaneDoc, Sequence: 9, Acknowledged: 8, Settled: 6},
			{Epoch: epochOf("epoch of messages"), Lane: record.LaneMsg},
		},
		Received: []record.ReceivedHead{
			{Epoch: epochOf("epoch of b"), Lane: record.LaneDoc, Sequence: 6, Complete: 4, Next: 6, Record: manifestOf(t).ID()},
		},
	}, signWith("a signing"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHeads(t *testing.T) {
	s, open := headsOf(t), by(record.OpenHeads, "a")
	accept(t, "heads.json", s, open)
	zero := strings.Repeat("0", 32)
	msg := `{"epoch":"` + epochOf("epoch of messages").String() + `","lane":"msg","sequence":0,"acknowledged":0,"settled":0}`
	cases := changed(t, s.Envelope, []change{
		{"of another organisation", "another signer's card", `"org":"` + orgOf("a").String(), `"org":"` + orgOf("c").String()},
		{"between one and itself", "without a partner", `"partner":"` + orgOf("b").String(), `"partner":"` + orgOf("a").String()},
		{"sent in no epoch", "without an epoch", epochOf("epoch").String(), zero},
		{"received in no epoch", "without an epoch", epochOf("epoch of b").String(), zero},
		{"received without a manifest", "not a record's identifier", manifestOf(t).ID().String(), ""},
		{"a number before the first", "sequence is -1", `"sequence":0`, `"sequence":-1`},
		{"nothing received", "sequence is 0", `"sequence":6,"complete":4,"next":6`, `"sequence":0,"complete":0`},
		{"the number 2^53", "not between", `"sequence":9`, `"sequence":9007199254740992`},
		{"more acknowledged than given", "acknowledged up to 10", `"acknowledged":8`, `"acknowledged":10`},
		{"more settled than acknowledged", "settled up to 9", `"settled":6`, `"settled":9`},
		{"settled below 0", "settled up to -1", `"settled":6`, `"settled":-1`},
		{"more complete than received", "complete up to 7", `"complete":4`, `"complete":7`},
		{"a gap of nothing", "from 5 on", `"next":6`, `"next":5`},
		{"a gap behind the highest", "from 7 on", `"next":6`, `"next":7`},
		{"a gap without an end", "from 0 on", `"complete":4,"next":6`, `"complete":4`},
		{"a gap where there is none", "from 6 on", `"complete":4`, `"complete":6`},
		{"complete below 0", "complete up to -1", `"complete":4`, `"complete":-1`},
		{"an unknown lane", "not a lane", `"lane":"msg"`, `"lane":"vip"`},
		{"a lane twice", "order of the lanes", `"lane":"msg"`, `"lane":"doc"`},
		{"lanes out of order", "order of the lanes", `"sent":[`, `"sent":[` + msg + `,`},
		{"a lane received twice", "order of the lanes", `"received":[`, `"received":[{"epoch":"` + epochOf("x").String() + `","lane":"msg","sequence":1,"complete":1,"record":"` + s.ID().String() + `"},`},
		{"an unknown member", "strict JSON", `"received":[`, `"kept":[],"received":[`},
	}, signWith("a signing"))
	refuse(t, "heads-refused.json", append(cases, wrongSigners(s.Envelope, "a")...), parsed(open))
}
