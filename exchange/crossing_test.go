package exchange

import (
	"testing"
	"testing/synctest"
	"time"

	"dxd/record"
)

// waits tells for how long the payload stands aside before n bytes.
func waits(c *crosser, n int) time.Duration {
	begun := time.Now()
	c.cross(n)
	return time.Since(begun)
}

func TestDocumentsStandAsideForMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crossing
		document, message := c.crosser(record.Document), c.crosser(record.Message)
		if w := waits(document, 1); w != 0 {
			t.Errorf("with no message a document waits for %s", w)
		}
		leave := c.enter()
		time.AfterFunc(10*time.Millisecond, leave)
		if w := waits(message, 1); w != 0 {
			t.Errorf("a message waits for %s", w)
		}
		if w := waits(document, 1); w != 10*time.Millisecond+linger {
			t.Errorf("for a message of 10 ms a document waits for %s", w)
		}
		if w := waits(document, 1); w != 0 {
			t.Errorf("behind the message a document waits for %s", w)
		}
	})
}

func TestAMessageThatTakesLongHoldsNoDocumentUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crossing
		document := c.crosser(record.Document)
		defer c.enter()()
		if w := waits(document, 1); w != standAside {
			t.Errorf("a document waits for %s, not %s", w, standAside)
		}
		if w := waits(c.crosser(record.Document), 1); w != 0 {
			t.Errorf("for a message that has taken long another document waits for %s", w)
		}
	})
}

func TestDocumentsMoveOnBetweenMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crossing
		document := c.crosser(record.Document)
		const frames = stretch / bodyFrame
		var waited time.Duration
		for range 10 * frames {
			leave := c.enter() // there is always one
			waited += waits(document, bodyFrame)
			leave()
		}
		if most := 11 * standAside; waited > most {
			t.Errorf("%d bytes waited for %s, more than %s", 10*frames*bodyFrame, waited, most)
		}
	})
}
