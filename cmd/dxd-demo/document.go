package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"dxd/client"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/record"
)

// sample is sent where no file is given.
const sample = "Acme Ltd orders 40 turbines of Bolt GmbH, to be delivered by the end of the year,\nat the price of the offer of 3 March. This offer is confidential.\n"

// canSend tells, before anything is started, whether there is such a file.
func canSend(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return record.Errorf(record.Invalid, "couldn't open the document: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New(path + " is not a file")
	}
	if err != nil {
		return record.Errorf(record.Invalid, "couldn't open the document: %w", err)
	}
	return record.CheckName(filepath.Base(path))
}

// send hands the document over, and waits for the other side's receipt.
func (s *story) send(ctx context.Context) error {
	if s.file == "" {
		s.file = filepath.Join(s.dir, "order.txt")
		if err := statedir.WriteFile(s.file, []byte(sample), 0o600); err != nil {
			return err
		}
	}
	return s.do("Acme sends "+filepath.Base(s.file)+" to Bolt: sealed for Bolt, signed by Acme.", func() error {
		file, err := os.Open(s.file)
		if err != nil {
			return record.Errorf(record.Invalid, "couldn't open the document: %w", err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return record.Errorf(record.Invalid, "couldn't open the document: %w", err)
		}
		sent, err := s.acme.client.Send(ctx, client.Submission{To: []string{"bolt"}, Name: filepath.Base(s.file)}, file, info.Size())
		if err != nil {
			return err
		}
		s.id = sent.Transfers[0].ID
		s.size = sent.Size
		s.say("%d bytes, SHA-256 %s", sent.Size, sent.SHA256)
		if _, err := s.await(ctx, s.acme, "delivered"); err != nil {
			return err
		}
		s.say("delivered: Acme holds Bolt's signed receipt; transfer %s", s.id)
		return nil
	})
}

// get writes the document and the evidence of both sides to files.
func (s *story) get(ctx context.Context) error {
	return s.do("Bolt takes the document out, and both take their evidence.", func() error {
		s.got = filepath.Join(s.dir, "received")
		content, err := s.bolt.client.Content(ctx, s.id)
		if err != nil {
			return err
		}
		defer content.Close()
		if err := writeFile(s.got, content); err != nil {
			return err
		}
		s.say("the same SHA-256: %s", content.Digest.Hex())
		for _, p := range []*party{s.acme, s.bolt} {
			evidence, err := p.client.Evidence(ctx, s.id)
			if err != nil {
				return err
			}
			s.evidence[p] = filepath.Join(s.dir, p.alias+".evidence")
			if err := statedir.WriteFile(s.evidence[p], evidence, 0o600); err != nil {
				return err
			}
			s.say("%s has %d bytes of evidence", p.name, len(evidence))
		}
		return nil
	})
}

func writeFile(path string, r io.Reader) error {
	f, err := statedir.NewFile(path, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// verify checks the evidence of both sides as a stranger would, who has two
// files and the address of a chain.
func (s *story) verify(ctx context.Context) error {
	return s.do("A stranger gets the document and the evidence, and asks the chain.", func() error {
		for _, p := range []*party{s.acme, s.bolt} {
			r, err := s.judge(ctx, p)
			if err != nil {
				return err
			}
			if !r.Valid {
				return record.Errorf(record.Internal, "the evidence of %s does not hold", p.name)
			}
			s.say("%s's evidence is valid: %s sent it to %s, receipt \"%s\", anchored at %s", p.name,
				r.Sender.Name, r.Recipient.Name, r.Receipt, r.AnchoredAt.Local().Format("15:04:05"))
		}
		return nil
	})
}

// forge changes one bit of the document and wants it to be refused.
func (s *story) forge(ctx context.Context) error {
	return s.do("Somebody changes one bit of the document.", func() error {
		if err := damage(s.got); err != nil {
			return err
		}
		r, err := s.judge(ctx, s.bolt)
		if err != nil {
			return err
		}
		if r.Valid {
			return record.Errorf(record.Internal, "a changed document was taken for the true one")
		}
		for _, c := range r.Checks {
			if !c.OK && !c.Undecided {
				s.say("not valid: %s", c.Detail)
			}
		}
		return mend(s.got, s.size)
	})
}

// judge verifies the copy with a party's evidence. It knows nothing but the
// two files and where the chain is.
func (s *story) judge(ctx context.Context, p *party) (daemon.Report, error) {
	evidence, err := os.ReadFile(s.evidence[p])
	if err != nil {
		return daemon.Report{}, record.Errorf(record.Internal, "couldn't read the evidence: %w", err)
	}
	document, err := os.Open(s.got)
	if err != nil {
		return daemon.Report{}, record.Errorf(record.Internal, "couldn't open the copy: %w", err)
	}
	defer document.Close()
	return daemon.Verify(ctx, document, evidence, daemon.Known{
		RPC: s.acme.options.Config.Anchor.RPC, Finality: s.acme.options.Config.Anchor.Finality,
	})
}

// damage turns the first bit of the file over, or gives one to an empty file.
// Done twice to a file with content, it is as it was.
func damage(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return record.Errorf(record.Internal, "couldn't change the copy: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var first [1]byte
	if _, err := f.ReadAt(first[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return record.Errorf(record.Internal, "couldn't change the copy: %w", err)
	}
	first[0] ^= 1
	if _, err := f.WriteAt(first[:], 0); err != nil {
		return record.Errorf(record.Internal, "couldn't change the copy: %w", err)
	}
	return nil
}

// mend undoes damage.
func mend(path string, size int64) error {
	if err := damage(path); err != nil {
		return err
	}
	if err := os.Truncate(path, size); err != nil {
		return record.Errorf(record.Internal, "couldn't mend the copy: %w", err)
	}
	return nil
}
