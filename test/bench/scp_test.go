//go:build bench

package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"dxd/test/party"
)

// scp copies files over an sshd of its own on loopback.
type scp struct {
	dir  string
	port int
}

// newSCP starts sshd, or says why it can't.
func newSCP(t *testing.T, dir string) (_ *scp, why string) {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd, err = exec.LookPath("/usr/sbin/sshd") // where users' PATH does not lead
	}
	if _, noSCP := exec.LookPath("scp"); err != nil || noSCP != nil {
		return nil, "there is no sshd or no scp (on Debian: `apt-get install openssh-server openssh-client`)"
	}
	c := &scp{dir: filepath.Join(dir, "ssh"), port: party.FreePort(t)}
	party.Check(t, os.Mkdir(c.dir, 0o700))
	for _, name := range []string{"host", "user"} {
		command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(c.dir, name))
	}
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n",
		c.port, filepath.Join(c.dir, "host"), filepath.Join(c.dir, "user.pub"))
	party.Check(t, os.WriteFile(filepath.Join(c.dir, "config"), []byte(config), 0o600))
	if os.Geteuid() == 0 {
		party.Check(t, os.MkdirAll("/run/sshd", 0o755)) // where sshd of Debian locks itself in
	}
	said, err := os.Create(filepath.Join(c.dir, "log"))
	party.Check(t, err)
	defer said.Close()
	cmd := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(c.dir, "config"))
	cmd.Stderr = said
	party.Check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails if it has ended
		_ = cmd.Wait()         // says that it was killed
	})
	party.Until(t, "an sshd that answers", func() string {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", c.port), time.Second)
		if err != nil {
			log, _ := os.ReadFile(said.Name()) // it was made above
			return fmt.Sprintf("%v: %s", err, log)
		}
		_ = conn.Close()
		return ""
	})
	return c, ""
}

// copy copies a file to where clear removes it.
func (c *scp) copy(t *testing.T, file string) {
	t.Helper()
	command(t, "scp", "-q", "-F", "none", "-B", "-c", "aes128-gcm@openssh.com", "-P", fmt.Sprint(c.port), "-i", filepath.Join(c.dir, "user"),
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", file, "127.0.0.1:"+filepath.Join(c.dir, "copy"))
}

func (c *scp) clear(t *testing.T) {
	t.Helper()
	info, err := os.Stat(filepath.Join(c.dir, "copy"))
	party.Check(t, err)
	if info.Size() != *sizeMiB<<20 {
		t.Fatalf("scp made %d bytes", info.Size())
	}
	party.Check(t, os.Remove(filepath.Join(c.dir, "copy")))
}
