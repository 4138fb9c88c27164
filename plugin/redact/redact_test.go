package redact

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const pem = `-----BEGIN RSA PRIVATE KEY-----
MIIEpAIBAAKCAQEAx4yOVZ1LFNoXq3cVJz0p2Xn5pqyYhWc1nVQ8tq4gS1uKq7aB
9QXy3tR0dJmJ1V0Jp6m9bq2hE4l3yQkzq5wJ5q8l2bQmXg==
-----END RSA PRIVATE KEY-----`

func secret(value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"},
		"data":       map[string]any{"k": base64.StdEncoding.EncodeToString([]byte(value))},
		"stringData": map[string]any{"t": value},
	}}
}

func TestEqualValuesHaveEqualMasksWithinARun(t *testing.T) {
	m := New()
	value := func(m *Masker) any { return m.Object(secret("one-value")).Object["data"].(map[string]any)["k"] }
	if value(m) != value(m) {
		t.Error("the masks of one value differ")
	}
	if value(m) == value(New()) {
		t.Error("masks of two runs are equal, so that they could be compared with guesses")
	}
	m.Learn(secret("hunter-two"))
	got := m.Text("hunter-two, " + base64.StdEncoding.EncodeToString([]byte("hunter-two")) + ", password=hunter-two")
	mask := m.mask("hunter-two")
	if got != mask+", "+mask+", password="+mask {
		t.Error(got)
	}
	if diff := cmp.Diff(map[string]int{RuleKnown: 3}, m.Counts()); diff != "" {
		t.Errorf("counted -want +got:\n%s", diff)
	}
}

// In what is masked, SECRET in the wanted text stands for a mask.
func TestSecretsAreMaskedWhereTheyStand(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"password of a URL", "dial postgres://ml:pa55:w0rd@db:5432/x?a=b", "dial postgres://ml:SECRET@db:5432/x?a=b"},
		{"token as user of a URL", "clone https://x0auth9abc@dev.example/r.git", "clone https://SECRET@dev.example/r.git"},
		{"two URLs in a line", "a http://u:p1@h/ b http://u:p2@h/", "a http://u:SECRET@h/ b http://u:SECRET@h/"},
		{"signature of S3", "GET https://b.s3/x?X-Amz-Date=20260101&X-Amz-Signature=abcdef0123456789 200", "GET https://b.s3/x?X-Amz-Date=20260101&X-Amz-Signature=SECRET 200"},
		{"signature of Azure", "https://a.blob/x?sv=2021&sig=Yk%2Babc%3D", "https://a.blob/x?sv=2021&sig=SECRET"},
		{"token of a query", `"https://h/?token=abcdefgh1"`, `"https://h/?token=SECRET"`},
		{"private key", "x\n" + pem + "\ny", "x\n-----BEGIN RSA PRIVATE KEY-----\nSECRET\n-----END RSA PRIVATE KEY-----\ny"},
		{"private key in JSON", `{"k":"` + strings.ReplaceAll(pem, "\n", `\n`) + `","a":1}`, `{"k":"-----BEGIN RSA PRIVATE KEY-----SECRET-----END RSA PRIVATE KEY-----","a":1}`},
		{"private key without its end", pem[:140] + "\n", "-----BEGIN RSA PRIVATE KEY-----\nSECRET\n"},
		{"private key without its beginning", pem[40:] + "\nrest", "SECRET\n-----END RSA PRIVATE KEY-----\nrest"},
		{"lines of a private key, alone", "x " + pem + "\n| " + strings.Split(pem, "\n")[1] + "\n| " + strings.Split(pem, "\n")[3], "x -----BEGIN RSA PRIVATE KEY-----\nSECRET\n-----END RSA PRIVATE KEY-----\nSECRET\n| -----END RSA PRIVATE KEY-----"},
		{"private key without its beginning, indented", "a\n  | " + strings.Split(pem, "\n")[1] + "\n  | " + strings.Split(pem, "\n")[3], "a\n  SECRET\n  | -----END RSA PRIVATE KEY-----"},
		{"the end of a key alone", "a\n  | -----END PRIVATE KEY-----", "a\n  | -----END PRIVATE KEY-----"},
		{"header", "> Authorization: Bearer abc.def-123\r", "> Authorization: Bearer SECRET\r"},
		{"header in JSON", `{"Authorization": "Basic dXNlcjpwYXNz", "x": 1}`, `{"Authorization": "Basic SECRET", "x": 1}`},
		{"header in Go", `Authorization:[Bearer abcdef12345]`, `Authorization:[Bearer SECRET`},
		{"bearer alone", "got bearer abcDEF123456789", "got bearer SECRET"},
		{"basic alone", "Basic dXNlcjpwYXNz", "Basic SECRET"},
		{"JWT", "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end", "jwt SECRET end"},
		{"Hugging Face", "using hf_abcdefghijklmnopqrstuv now", "using SECRET now"},
		{"GitHub", "ghp_0123456789abcdefghijABCDEFGHIJ012345 github_pat_11ABCDEFG0_abcdefghijkl", "SECRET SECRET"},
		{"AWS", "id=AKIAIOSFODNN7EXAMPLE", "id=SECRET"},
		{"OpenAI", "(sk-proj-abc123def456ghi789)", "(SECRET)"},
		{"Slack", "xoxb-123456789012-abcdef", "SECRET"},
		{"GitLab and NVIDIA", "glpat-abcdefghij0123456789,nvapi-abcdefghij0123456789", "SECRET,SECRET"},
		{"environment, with blanks", "DB_PASSWORD=correct horse battery staple", "DB_PASSWORD=SECRET"},
		{"environment", "export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567", "export WANDB_API_KEY=SECRET"},
		{"environment, one word", "PGPASSWORD=tiger", "PGPASSWORD=SECRET"},
		{"JSON", `{"password": "a\"b", "user": "me"}`, `{"password": "SECRET", "user": "me"}`},
		{"JSON within JSON", `{"x":"{\"apiKey\":\"swordfish\",\"n\":1}"}`, `{"x":"{\"apiKey\":\"SECRET\",\"n\":1}"}`},
		{"Python", `{'secret': 'swordfish', 'n': 1}`, `{'secret': 'SECRET', 'n': 1}`},
		{"YAML", "  client-key-data: LS0tLS1CRUdJTg==", "  client-key-data: SECRET"},
		{"kubeconfig", "    token: abcdef.0123456789abcdef", "    token: SECRET"},
		{"docker", `.dockerconfigjson: eyJhdXRocyI6e319`, `.dockerconfigjson: SECRET`},
		{"docker login", `{"auths":{"r":{"auth":"dTpwYXNz"}}}`, `{"auths":{"r":{"auth":"SECRET"}}}`},
		{"flag", "train.py --hf-token abcd1234 --lr 0.1", "train.py --hf-token SECRET --lr 0.1"},
		{"flag with =", "train.py --password=tiger --lr=0.1", "train.py --password=SECRET --lr=0.1"},
		{"inside of another value", "url=jdbc:x?password=tiger", "url=jdbc:x?password=SECRET"},
		{"found in one place, hidden in the other", "login s3cretValue9\nPASSWORD=s3cretValue9", "login SECRET\nPASSWORD=SECRET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New()
			got := masks().ReplaceAllString(m.Text(c.text), "SECRET")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			once := m.Text(c.text)
			if again := m.Text(once); again != once {
				t.Errorf("again: %s", again)
			}
		})
	}
}

var masks = lazy(maskBegin + `[0-9a-f]{8}` + maskEnd)

func TestOrdinaryTextStaysReadable(t *testing.T) {
	m := New()
	m.Learn(secret("true"))
	m.Learn(secret("8080"))
	m.Learn(secret("digits-db-passw0rd"))
	for _, text := range []string{
		"image: python@sha256:0cf7d6ed3ba4bb4ce12c2c8b6a3a3d5c6f1d3f0e2a1b4c5d6e7f8091a2b3c4d5",
		"registry.example:5000/team/digits:v1.2.3-gpu",
		"commit 3a22052f0c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5 of main",
		"run k7x2mq: Failed, code 9c1f0e5a77aa01b2, generation 12",
		"uid: 0a1b2c3d-4e5f-6789-abcd-ef0123456789",
		"epoch 3 loss 0.1234 tokens/s 18231.5 num_tokens: 50257 max_tokens=2048",
		`{"pad_token": "<pad>", "eos_token": "</s>", "bos_token_id": 1, "tokenizer": "gpt2"}`,
		"prompt_tokens: 12, completion_tokens: 34",
		`Error: secret "digits-db" not found`,
		"token: expired", "the token is invalid: unexpected end", "unexpected token: }",
		"secretName: digits-credentials-2026", "secretKeyRef:", "imagePullSecrets:", "kind: Secret",
		"automountServiceAccountToken: false", "expirationSeconds: 3607",
		"tokenPath: /var/run/secrets/kubernetes.io/serviceaccount/token",
		"HF_TOKEN=$HF_TOKEN", "password: ${DB_PASSWORD}", "password: null",
		"GET http://10.96.0.1:443/api/v1/pods?labelSelector=a%3Db&limit=500", "git@github.com:org/repo.git", "ssh://git@host/x",
		"basic functionality, bearer authentication", "key: value", "monkey: banana1234567890", "keys/ci.pub",
		"disk-0123456789abcdef01", "task-7f9c0a1b-2c3d-4e5f-6a7b", "true 8080",
		"-----BEGIN CERTIFICATE-----", "Traceback (most recent call last):", `  File "/code/train.py", line 12, in <module>`,
		"author: Jane", "PWD=/srv/project/samples", "GOOGLE_APPLICATION_CREDENTIALS=/var/run/gcp/key.json", "author_email=jane", "path=/code/passes/1", "passed: 12 tests", "compass: north",
	} {
		if got := m.Text(text); got != text {
			t.Errorf("%s\nbecame %s", text, got)
		}
	}
}

func TestFieldsOfObjects(t *testing.T) {
	m := New()
	got := m.Value(map[string]any{
		"env": []any{
			map[string]any{"name": "DB_PASSWORD", "value": "tiger"},
			map[string]any{"name": "EPOCHS", "value": "12"},
			map[string]any{"name": "HF_TOKEN", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": "hf", "key": "token"}}},
		},
		"command":  []any{"train.py", "--api-key", "abc", "--token=$TOKEN", "--lr", "0.1"},
		"volumes":  []any{map[string]any{"name": "s", "secret": map[string]any{"secretName": "x"}}},
		"password": "correct horse",
	})
	want := map[string]any{
		"env": []any{
			map[string]any{"name": "DB_PASSWORD", "value": m.mask("tiger")},
			map[string]any{"name": "EPOCHS", "value": "12"},
			map[string]any{"name": "HF_TOKEN", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": "hf", "key": "token"}}},
		},
		"command":  []any{"train.py", "--api-key", m.mask("abc"), "--token=$TOKEN", "--lr", "0.1"},
		"volumes":  []any{map[string]any{"name": "s", "secret": map[string]any{"secretName": "x"}}},
		"password": m.mask("correct horse"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhoSomebodyIs(t *testing.T) {
	m := New()
	m.Person("/home/alice", "alice")
	const text = "/home/alice/x /home/alice-two/y C:\\Users\\alice\\z alice@laptop malice@x by alice"
	if got, want := m.Text(text), "~/x /home/alice-two/y C:\\Users\\USER\\z USER@laptop malice@x by alice"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A secret of any form in any place of any text does not survive, raw or in
// base64, and masking twice changes nothing.
func FuzzNoSecretSurvives(f *testing.F) {
	f.Add(uint64(1), "2026-11-26T12:00:00Z step 1 loss 0.5\n{\"a\": [1, 2]}\n", "key: value\n- x\n")
	f.Add(uint64(2), "", "\"'\\")
	f.Add(uint64(3), "password: <masked:00000000>", "-----END PRIVATE KEY-----")
	f.Add(uint64(4), "-----BEGIN PRIVATE KEY-----", "Authorization: ")
	f.Fuzz(func(t *testing.T, seed uint64, before, after string) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := New()
		learned := random(r, 5+r.IntN(30))
		m.LearnValue(learned)
		secret, form := planted(r, learned)
		text := before + form + after
		got := m.Text(text)
		for _, hidden := range append(encoded(secret), secret) {
			if strings.Contains(got, hidden) && !strings.Contains(before, hidden) && !strings.Contains(after, hidden) {
				t.Errorf("%q of %q is in\n%q", hidden, form, got)
			}
		}
		if again := m.Text(got); again != got {
			t.Errorf("masking again changes\n%q\nto\n%q", got, again)
		}
	})
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func random(r *rand.Rand, n int) string {
	b := []byte("aB3") // looks random, however short
	for len(b) < n {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(b)
}

// planted returns a secret, and a text that has it where it is recognised.
func planted(r *rand.Rand, learned string) (secret, text string) {
	s := random(r, 24)
	forms := [][2]string{
		{learned, " " + learned + " "},
		{learned, " " + base64.StdEncoding.EncodeToString([]byte(s[:r.IntN(4)]+learned+s[:r.IntN(4)])) + " "},
		{"hf_" + s, "hf_" + s},
		{"ghp_" + s, "ghp_" + s},
		{"glpat-" + s, "glpat-" + s},
		{"nvapi-" + s, "nvapi-" + s},
		{"xoxb-" + s, "xoxb-" + s},
		{"sk-" + s, " sk-" + s},
		{"AKIA" + strings.ToUpper(s[:16]), "AKIA" + strings.ToUpper(s[:16])},
		{"eyJ" + s + ".eyJ" + s, "eyJ" + s + ".eyJ" + s + "." + s},
		{s, "\nDB_PASSWORD=" + s + "\n"},
		{s, "\nWANDB_API_KEY: " + s + "\n"},
		{s, "\n{\"clientSecret\": \"" + s + "\"}\n"},
		{s, "\n  - --token=" + s + "\n"},
		{s, "\nx --password " + s + "\n"},
		{s, "\n{\\\"api_key\\\":\\\"" + s + "\\\"}\n"},
		{s, "\nAuthorization: Bearer " + s + "\n"},
		{s, "\npostgres://u:" + s + "@h/db\n"},
		{s, "\nhttps://h/x?a=1&sig=" + s + "\n"},
		{s + s, "\n-----BEGIN PRIVATE KEY-----\n" + s + s + "\n-----END PRIVATE KEY-----\n"},
		{s, "\nclient-key-data: " + s + "\n"},
	}
	c := forms[r.IntN(len(forms))]
	return c[0], c[1]
}
