//go:build chromium

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// need finds a program, or says how to install it.
func need(t *testing.T, program, pack string) string {
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install -y %s", program, pack)
	}
	return path
}

// TestThePagePrints has a real browser print each page, and reads the print.
func TestThePagePrints(t *testing.T) {
	browser, reader := need(t, "chromium", "chromium"), need(t, "pdftotext", "poppler-utils")
	for name, tt := range outcomes(t) {
		dir := t.TempDir()
		html, pdf := filepath.Join(dir, "page.html"), filepath.Join(dir, "page.pdf")
		if err := writeReport(html, tt.v); err != nil {
			t.Fatal(err)
		}
		args := []string{"--headless", "--disable-gpu", "--no-pdf-header-footer", "--user-data-dir=" + filepath.Join(dir, "profile"), "--print-to-pdf=" + pdf, "file://" + html}
		if os.Getuid() == 0 { // its sandbox refuses root
			args = append([]string{"--no-sandbox"}, args...)
		}
		if out, err := exec.CommandContext(t.Context(), browser, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		out, err := exec.CommandContext(t.Context(), reader, "-layout", pdf, "-").Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if pages := strings.Count(string(out), "\f"); pages < 2 || pages > 5 {
			t.Errorf("%s takes %d pages", name, pages)
		}
		printed := strings.Join(strings.Fields(string(out)), " ")
		for _, want := range append(tt.says[:1:1], "Verification report", "What this does not prove", "How to check it again", tt.v.document.SHA256) {
			if !strings.Contains(printed, want) {
				t.Errorf("%s: %q is not in print", name, want)
			}
		}
	}
}
