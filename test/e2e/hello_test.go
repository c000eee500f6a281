package e2e

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
)

var errNoKeyShare = errors.New("no key share in a server's hello")

// keyShareGroup reads the group out of a ServerHello (RFC 8446, section
// 4.1.3), of which only the beginning need be there.
func keyShareGroup(hello []byte) (tls.CurveID, error) {
	const fixed = 1 + 3 + 2 + 32 // type, length, version, random
	if len(hello) < fixed+1 || hello[0] != 2 {
		return 0, errNoKeyShare
	}
	at := fixed + 1 + int(hello[fixed]) + 2 + 1 + 2 // session id, suite, compression, length of extensions
	for at+4 <= len(hello) {
		kind, size := binary.BigEndian.Uint16(hello[at:]), int(binary.BigEndian.Uint16(hello[at+2:]))
		if kind == 51 && at+6 <= len(hello) {
			return tls.CurveID(binary.BigEndian.Uint16(hello[at+4:])), nil
		}
		at += 4 + size
	}
	return 0, errNoKeyShare
}
