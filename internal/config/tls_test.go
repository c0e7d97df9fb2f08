package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/config"
)

// certificate returns a self-signed certificate and its key, PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"redis"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

func TestTLSOffIsNil(t *testing.T) {
	settings, err := config.Default().Redis.TLSConfig()
	if err != nil || settings != nil {
		t.Errorf("got %v, %v, want nil and nil", settings, err)
	}
}

func TestTLSReadsItsFiles(t *testing.T) {
	cert, key := certificate(t)
	c := config.Default()
	c.Redis.TLS = config.TLS{
		Enabled: true, CAFile: write(t, cert), CertFile: write(t, cert), KeyFile: write(t, key), ServerName: "redis",
	}
	settings, err := c.Redis.TLSConfig()
	if err != nil {
		t.Fatal(err)
	}
	if settings.RootCAs == nil || len(settings.Certificates) != 1 || settings.ServerName != "redis" || settings.MinVersion != tls.VersionTLS12 {
		t.Errorf("got %d certificates, name %q, version %x", len(settings.Certificates), settings.ServerName, settings.MinVersion)
	}
}

func TestTLSErrorsNameTheKey(t *testing.T) {
	cert, _ := certificate(t)
	missing := filepath.Join(t.TempDir(), "missing")
	for key, section := range map[string]config.TLS{
		"redis.tls.ca_file":   {Enabled: true, CAFile: missing},
		"redis.tls.cert_file": {Enabled: true, CertFile: write(t, cert), KeyFile: missing},
	} {
		c := config.Default()
		c.Redis.TLS = section
		if err := c.CheckFiles(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("got %v, want %s named", err, key)
		}
	}
	c := config.Default()
	c.Redis.TLS = config.TLS{Enabled: true, CAFile: write(t, "nothing")}
	if _, err := c.Redis.TLSConfig(); !errors.Is(err, config.ErrBadCA) {
		t.Errorf("got %v, want ErrBadCA", err)
	}
}
