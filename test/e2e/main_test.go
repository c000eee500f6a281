package e2e

import (
	"testing"

	"dxd/test/party"
)

func TestMain(m *testing.M) { party.Main(m) }
