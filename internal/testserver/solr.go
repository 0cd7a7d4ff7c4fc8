package testserver

import (
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// SolrVersion is the version that is run, as in solr/pom.xml.
const SolrVersion = "9.10.1"

//go:embed solr/Launcher.java solr/home
var solrFiles embed.FS

// SolrServer is a private, user-managed Solr server with the config set "plain"
// and no core. Whoever asks it anything is asked for a password; User may do
// everything.
type SolrServer struct {
	process        *process
	options        []string
	Port           int
	User, Password string
	// Home is SOLR_HOME, the directory of its cores.
	Home string
	// Leader is the one address, host:port, that its allowUrls lets it fetch from.
	Leader string
}

// SolrCloud makes a server run as SolrCloud, with a ZooKeeper of its own. It then
// asks for no password.
const SolrCloud = "-DzkRun"

// Solr starts a server for the time of the test. options go to its Java machine:
// SolrCloud.
func Solr(tb testing.TB, options ...string) *SolrServer {
	tb.Helper()
	p := newProcess(tb, "solr")
	s := &SolrServer{process: p, options: options, Port: freePort(tb), User: "site", Password: rand.Text(),
		Home: filepath.Join(p.dir, "solr", "home"), Leader: fmt.Sprintf("127.0.0.1:%d", freePort(tb))}
	if err := os.CopyFS(p.dir, solrFiles); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Home, "security.json"), s.security(), 0o600); err != nil {
		tb.Fatal(err)
	}
	p.give(p.dir)
	s.start()
	return s
}

// The users beside User, with the same password.
const (
	// SolrBackup may do what snapshots and restores need, and no more.
	SolrBackup = "backup"
	// SolrReader may read what is in cores.
	SolrReader = "reader"
)

// security is the file that makes the server ask for a password.
func (s *SolrServer) security() []byte {
	salt := []byte(rand.Text())
	once := sha256.Sum256(append(salt[:len(salt):len(salt)], s.Password...))
	twice := sha256.Sum256(once[:])
	encode := base64.StdEncoding.EncodeToString
	secret := encode(twice[:]) + " " + encode(salt)
	type object = map[string]any
	permissions := []object{{"name": "read", "role": []string{s.User, SolrBackup, SolrReader}}}
	for _, name := range []string{"update", "config-read", "metrics-read", "core-admin-read", "core-admin-edit"} {
		permissions = append(permissions, object{"name": name, "role": []string{s.User, SolrBackup}})
	}
	text, err := json.Marshal(object{
		"authentication": object{"class": "solr.BasicAuthPlugin", "blockUnknown": true,
			"credentials": object{s.User: secret, SolrBackup: secret, SolrReader: secret}},
		"authorization": object{"class": "solr.RuleBasedAuthorizationPlugin",
			"permissions": append(permissions, object{"name": "all", "role": s.User}),
			"user-role":   object{s.User: s.User, SolrBackup: SolrBackup, SolrReader: SolrReader}},
	})
	if err != nil {
		s.process.tb.Fatal(err)
	}
	return text
}

func (s *SolrServer) start() {
	tb := s.process.tb
	tb.Helper()
	args := append([]string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.home=" + s.process.dir,
		"-Dlog4j2.level=WARN", "-Dsolr.log.dir=" + s.process.dir, "-Dholdfast.leader=http://" + s.Leader + "/solr",
		"-cp", filepath.Join(solrLibraries(tb), "*")}, s.options...)
	s.process.start(s.ping, "java", append(args, filepath.Join(s.process.dir, "solr", "Launcher.java"), s.Home, strconv.Itoa(s.Port))...)
}

// solrLibraries returns the directory that install has filled.
func solrLibraries(tb testing.TB) string {
	tb.Helper()
	libraries := filepath.Join(fetched(tb), "solr-"+SolrVersion)
	if _, err := os.Stat(libraries); err != nil {
		tb.Fatalf("Solr is missing; install it: internal/testserver/install (%v)", err)
	}
	return libraries
}

func (s *SolrServer) ping() error {
	_, err := s.send(http.MethodGet, "/admin/info/system", "")
	return err
}

// send sends a request beneath Address with the server's password.
func (s *SolrServer) send(method, path, body string) (string, error) {
	request, err := http.NewRequest(method, s.Address()+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.SetBasicAuth(s.User, s.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s: %s", response.Status, tail(answer, 1000))
	}
	return string(answer), err
}

// Get asks for a path beneath Address and returns the answer.
func (s *SolrServer) Get(path string) string {
	s.process.tb.Helper()
	answer, err := s.send(http.MethodGet, path, "")
	if err != nil {
		s.process.tb.Fatalf("%s: %v", path, err)
	}
	return answer
}

// Post sends JSON to a path beneath Address.
func (s *SolrServer) Post(path, body string) {
	s.process.tb.Helper()
	if _, err := s.send(http.MethodPost, path, body); err != nil {
		s.process.tb.Fatalf("%s: %v", path, err)
	}
}

// Give makes the server's user the owner of everything in path.
func (s *SolrServer) Give(path string) { s.process.give(path) }

// Address is where the server is: http://127.0.0.1:PORT/solr.
func (s *SolrServer) Address() string { return fmt.Sprintf("http://127.0.0.1:%d/solr", s.Port) }

// URL returns the address of a core in the form of holdfast.yaml, for SolrBackup.
func (s *SolrServer) URL(core string) *url.URL {
	return &url.URL{Scheme: "solr", User: url.User(SolrBackup), Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/solr/" + core,
		RawQuery: url.Values{"leader": {s.Leader}, "configset": {"plain"}}.Encode()}
}

// PlainConfig copies the config set "plain" to the directory, as the server's own.
func (s *SolrServer) PlainConfig(directory string) {
	tb := s.process.tb
	tb.Helper()
	plain, err := fs.Sub(solrFiles, "solr/home/configsets/plain")
	if err == nil {
		err = os.CopyFS(directory, plain)
	}
	if err != nil {
		tb.Fatal(err)
	}
	s.process.give(directory)
}

// Kill ends the server at once, as a power failure would.
func (s *SolrServer) Kill() { s.process.kill() }

// Start starts a killed server again, on the same cores and port.
func (s *SolrServer) Start() {
	s.process.tb.Helper()
	s.start()
}

// Restart shuts the server down in order and starts it again.
func (s *SolrServer) Restart() {
	s.process.tb.Helper()
	s.process.end(syscall.SIGTERM)
	s.start()
}
