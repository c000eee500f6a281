package party

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
)

// What follows reads the first messages of TLS from recordings, as an observer
// can.

// tcpServerHello skips multistream-select's lines and TLS's record header.
func tcpServerHello(down []byte) ([]byte, error) {
	for len(down) > 0 && down[0] != 0x16 { // a TLS handshake record
		n := int(down[0]) // lines here are shorter than 128 bytes
		if n+1 > len(down) {
			return nil, io.ErrUnexpectedEOF
		}
		down = down[n+1:]
	}
	if len(down) < 5 || len(down) < 5+int(binary.BigEndian.Uint16(down[3:])) {
		return nil, io.ErrUnexpectedEOF
	}
	return down[5:], nil
}

// quicServerHello opens the server's first Initial packet with the keys that
// everyone can derive from the client's destination id (RFC 9001, section 5.2).
// Where the server sent nothing under the keys of a connection, whose packets
// have short headers, there need not be a hello: io.ErrUnexpectedEOF.
func quicServerHello(all []datagram) ([]byte, error) {
	var dcids [][]byte
	connected := false
	for _, d := range all {
		switch {
		case d.fromServer && len(d.data) > 0 && d.data[0]&0x80 == 0:
			connected = true
		case !isInitial(d.data):
		case !d.fromServer:
			// After a Retry the client has a new destination id, and the keys
			// with it. Once it has heard of the server it takes the server's,
			// and the keys stay.
			dcids = append(dcids, d.data[6:6+int(d.data[5])])
		default:
			for _, dcid := range dcids {
				if plain, err := openInitial(d.data, dcid); err == nil {
					if hello := firstCrypto(plain); hello != nil {
						return hello, nil
					}
				}
			}
		}
	}
	if !connected {
		return nil, io.ErrUnexpectedEOF
	}
	return nil, errors.New("no server's hello in the recording")
}

// isInitial tells whether a packet is long-headed, of version 1 and an Initial.
func isInitial(p []byte) bool {
	return len(p) > 40 && p[0]&0xf0 == 0xc0 && binary.BigEndian.Uint32(p[1:]) == 1
}

func expandLabel(secret []byte, label string, size int) ([]byte, error) {
	info := append([]byte{0, byte(size), byte(len(label) + 6)}, "tls13 "+label...)
	return hkdf.Expand(sha256.New, secret, string(append(info, 0)), size)
}

type initialKeys struct{ key, iv, hp []byte }

func serverInitialKeys(dcid []byte) (k initialKeys, err error) {
	salt, err := hex.DecodeString("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
	if err != nil {
		return k, err
	}
	secret, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		return k, err
	}
	if secret, err = expandLabel(secret, "server in", 32); err != nil {
		return k, err
	}
	var errs [3]error
	k.key, errs[0] = expandLabel(secret, "quic key", 16)
	k.iv, errs[1] = expandLabel(secret, "quic iv", 12)
	k.hp, errs[2] = expandLabel(secret, "quic hp", 16)
	return k, errors.Join(errs[:]...)
}

// openInitial removes header protection and decrypts (RFC 9001, section 5.4).
func openInitial(packet, dcid []byte) ([]byte, error) {
	k, err := serverInitialKeys(dcid)
	if err != nil {
		return nil, err
	}
	p := bytes.Clone(packet)
	at := 6 + int(p[5])            // past the destination id
	at += 1 + int(p[at])           // the source id
	token, n := quicVarint(p[at:]) // the token, empty from a server
	at += n + int(token)
	length, n := quicVarint(p[at:])
	at += n
	block, err := aes.NewCipher(k.hp)
	if err != nil {
		return nil, err
	}
	mask := make([]byte, 16)
	block.Encrypt(mask, p[at+4:at+20])
	p[0] ^= mask[0] & 0x0f
	pnLen := int(p[0]&3) + 1
	nonce := bytes.Clone(k.iv)
	for i := range pnLen {
		p[at+i] ^= mask[1+i]
		nonce[12-pnLen+i] ^= p[at+i]
	}
	if block, err = aes.NewCipher(k.key); err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nonce, p[at+pnLen:at+int(length)], p[:at+pnLen])
}

func quicVarint(b []byte) (uint64, int) {
	n := 1 << (b[0] >> 6)
	v := uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}

// firstCrypto is the data of a CRYPTO frame at offset 0, after any padding
// and acknowledgements (RFC 9000, section 19).
func firstCrypto(p []byte) []byte {
	for len(p) > 0 {
		switch p[0] {
		case 0: // padding
			p = p[1:]
		case 2: // an acknowledgement without counts
			p = p[1:]
			var fields [4]uint64
			for i := range fields {
				v, n := quicVarint(p)
				fields[i], p = v, p[n:]
			}
			for range fields[2] * 2 {
				_, n := quicVarint(p)
				p = p[n:]
			}
		case 6: // crypto
			offset, n := quicVarint(p[1:])
			size, m := quicVarint(p[1+n:])
			if offset == 0 {
				return p[1+n+m : 1+n+m+int(size)]
			}
			p = p[1+n+m+int(size):]
		default:
			return nil
		}
	}
	return nil
}

// datagram is one packet of a recording.
type datagram struct {
	fromServer bool
	data       []byte
}
