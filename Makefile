# kubectl ai. `make help` lists the targets; `make quickstart` sets up a bare
# machine and runs the main job, `make test` sets it up and passes all tests.

VERSION   ?= $(shell git describe --tags --dirty 2>/dev/null || echo v0.0.0-dev)
GO        ?= go
# The cross compiler for what is not Go alone.
ARM64_CC  ?= aarch64-linux-gnu-gcc
TOOLS     := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kubectl-ai/tools
LINT      := $(TOOLS)/golangci-lint-v2.15.0

HOST_ARCH := $(shell $(GO) env GOARCH)
SOURCES   := $(shell find cmd plugin sandbox kustomize -name '*.go' -not -name '*_test.go') $(shell find cmd plugin sandbox kustomize -path '*/files/*' -type f) $(shell find kustomize/components -type f -not -name '*.go') go.mod go.sum
PAYLOAD   := cmd/kubectl-ai/payload
STATIC    := ai-agent nvidia-smi ai-registry ai-services
# In the order of the archive: a reader stops at the program it wants.
PROGRAMS  := ai-agent nvidia-smi libnvidia-ml.so.1 ai-registry ai-gpu ai-gpu-real ai-services
PACKED    := $(PAYLOAD)/programs/linux-amd64.tar.zst $(PAYLOAD)/programs/linux-arm64.tar.zst $(PAYLOAD)/programs/crds.tar.zst

.DEFAULT_GOAL := help
.PHONY: help build test test-unit e2e bench bench-reload bench-distance bench-idle bench-start bench-torch bench-create bench-promote bench-startup size soak lint fmt fuzz quickstart host release clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

build: bin/kubectl-ai ## Build kubectl-ai and the Linux programs it carries into bin/

host: ## Bring this machine to an engine, a node image and a Python image (Debian 12, root)
	@test/host/host.sh

quickstart: ## Set up and run the main job: sandbox, hot reload, promotion to a second cluster
	@test/host/host.sh deps
	@$(MAKE) --no-print-directory build host
	@test/quickstart/quickstart.sh

test: ## Set up and pass every test: unit tests and end-to-end tests on real kind clusters
	@test/host/host.sh deps
	@$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory test-unit
	@$(MAKE) --no-print-directory host
	@$(MAKE) --no-print-directory e2e

test-unit: ## Pass the tests that need no cluster
	$(GO) vet ./...
	CGO_CFLAGS=-Wno-deprecated-declarations $(GO) vet -tags hardware ./cmd/ai-gpu
	CGO_CFLAGS=-Wno-deprecated-declarations $(GO) test ./...

e2e: bin/kubectl-ai ## Pass the end-to-end tests (needs `make host`)
	$(GO) test -tags e2e -count=1 -p 1 -timeout 80m -v ./test/e2e/...

bench: bin/kubectl-ai bench-reload bench-distance bench-idle bench-start bench-startup bench-create bench-promote ## Run every benchmark beside its peers

bench-reload: bin/kubectl-ai ## Measure a save, a burst, a large file and the first sync beside kubectl cp and rsync over exec
	$(GO) test -tags bench -count=1 -timeout 60m -run TestReload -v ./test/bench/...

bench-distance: bin/kubectl-ai ## Count the round trips that a save takes, through a proxy that puts the API server 50 ms away
	$(GO) test -tags bench -count=1 -timeout 20m -run TestDistance -v ./test/bench/...

bench-idle: bin/kubectl-ai ## Measure what a connected dev costs when nothing is saved in 50,000 files
	$(GO) test -tags bench -count=1 -timeout 20m -run TestIdle -v ./test/bench/...

bench-torch: bin/kubectl-ai ## Measure the fork server beside a cold start of a program that imports PyTorch (needs `test/host/host.sh torch`)
	$(GO) test -tags bench -count=1 -timeout 20m -run TestTorch -v ./test/bench/...

bench-create: bin/kubectl-ai ## Measure a sandbox with GPUs until a pod runs, beside kind create cluster
	$(GO) test -tags bench -count=1 -timeout 30m -run TestCreate -v ./test/bench/...

bench-promote: bin/kubectl-ai ## Measure promotions beside kubectl apply, its applysets and diff, and Flux's library; requests by the audit log
	$(GO) test -tags bench -count=1 -timeout 60m -run TestPromote -v ./test/bench/...

bench-startup: bin/kubectl-ai ## Measure version, status and completion beside kubectl's own commands
	$(GO) test -tags bench -count=1 -timeout 20m -run TestStartup -v ./test/bench/...

size: bin/kubectl-ai ## List what is in the binary
	@$(GO) test -tags bench -count=1 -run TestSize -v ./test/bench

bench-start: ## Measure a forked start of Python beside a cold one; KUBECTL_AI_PRELOAD=torch names the modules
	$(GO) test -run '^$$' -bench Start -v ./plugin/reload/python

soak: bin/kubectl-ai ## Run the engine's proofs and the end-to-end tests at full size
	KUBECTL_AI_SOAK=1 $(GO) test -count=1 -timeout 240m ./plugin/reload/proof
	KUBECTL_AI_SOAK=1 $(GO) test -tags e2e -count=1 -p 1 -timeout 240m -v ./test/e2e/...

lint: $(LINT) ## Check style and import rules
	$(LINT) run
	$(GO) mod tidy -diff

fmt: ## Format the code
	gofmt -w $(shell git ls-files '*.go')

fuzz: ## Run every fuzz test for 20 s
	@for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$f); do \
	    $(GO) test -run '^$$' -fuzz "^$$t$$" -fuzztime 20s ./$$(dirname $$f) || exit 1; done; done

release: $(PACKED) ## Make the archives, sums, bill of materials and krew manifests of VERSION in dist/
	$(GO) run ./krew/release -version $(VERSION) -out dist -platforms "$(PLATFORMS)"
	$(GO) run ./krew/validate -archives dist dist/ai.yaml dist/ai-train.yaml

clean: ## Remove what was built here
	rm -rf bin dist $(PACKED)

bin/kubectl-ai: $(SOURCES) $(PACKED)
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/kubectl-ai ./cmd/kubectl-ai
	@ln -sf kubectl-ai bin/kubectl_complete-ai
	@ln -sf $(addprefix linux-$(HOST_ARCH)/,$(STATIC) ai-gpu) bin

$(PAYLOAD)/programs/linux-%.tar.zst: $(addprefix bin/linux-%/,$(PROGRAMS)) $(PAYLOAD)/pack/main.go
	$(GO) run ./$(PAYLOAD)/pack $@ $(addprefix bin/linux-$*/,$(PROGRAMS))

$(PAYLOAD)/programs/crds.tar.zst: bin/gateway-api.yaml $(PAYLOAD)/pack/main.go
	$(GO) run ./$(PAYLOAD)/pack $@ $<

# The standard channel, as the module has it.
bin/gateway-api.yaml: go.mod Makefile
	@mkdir -p bin
	$(GO) mod download sigs.k8s.io/gateway-api
	for crd in $$($(GO) list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd/standard/*s.yaml; do \
	  case $$crd in *_vap_*) ;; *) echo ---; cat $$crd || exit 1 ;; esac; done >$@.new
	mv $@.new $@

# What a program is made of was noted when it was built: the folders of its
# packages. Until then everything counts.
noted   = $(shell cat bin/deps/$(1) 2>/dev/null)
made_of = $(if $(call noted,$(1)),$(filter-out %_test.go,$(wildcard $(foreach d,$(call noted,$(1)),$(d)/*.go $(d)/files/*))) go.mod go.sum Makefile,$(SOURCES))
define note
@mkdir -p bin/deps
@$(GO) list -deps $(2) -f '{{with .Module}}{{if .Main}}{{$$.Dir}}{{end}}{{end}}' ./cmd/$(patsubst %-real,%,$(1)) | sed 's|^$(CURDIR)/||' >bin/deps/$(1)
endef

define static_rule
bin/linux-$(1)/$(2): $$(call made_of,$(2))
	@mkdir -p $$(@D)
	CGO_ENABLED=0 GOOS=linux GOARCH=$(1) $$(GO) build -trimpath -ldflags '-s -w' -o $$@ ./cmd/$(2)
	$$(call note,$(2))
endef
$(foreach arch,amd64 arm64,$(foreach p,$(STATIC),$(eval $(call static_rule,$(arch),$(p)))))

# go-nvml needs cgo; glibc links statically, so the program runs in any node.
# Real GPUs need the driver's library, which only a dynamic program opens.
define gpu_rule
bin/linux-$(1)/ai-gpu: $$(call made_of,ai-gpu)
	@mkdir -p $$(@D)
	CGO_ENABLED=1 CC=$(2) CGO_CFLAGS=-Wno-deprecated-declarations GOOS=linux GOARCH=$(1) $$(GO) build -trimpath -tags netgo,osusergo \
	  -ldflags '-s -w -linkmode external -extldflags -static' -o $$@ ./cmd/ai-gpu
	$$(call note,ai-gpu)
bin/linux-$(1)/ai-gpu-real: $$(call made_of,ai-gpu-real)
	@mkdir -p $$(@D)
	CGO_ENABLED=1 CC=$(2) CGO_CFLAGS=-Wno-deprecated-declarations GOOS=linux GOARCH=$(1) $$(GO) build -trimpath -tags hardware \
	  -ldflags '-s -w' -o $$@ ./cmd/ai-gpu
	$$(call note,ai-gpu-real,-tags hardware)
endef
AMD64_CC := $(if $(filter amd64,$(HOST_ARCH)),gcc,x86_64-linux-gnu-gcc)
$(eval $(call gpu_rule,amd64,$(AMD64_CC)))
$(eval $(call gpu_rule,arm64,$(if $(filter arm64,$(HOST_ARCH)),gcc,$(ARM64_CC))))

# The NVML library of pods is linked against no C library: it takes that of the
# program that opens it.
NVML_FILES := $(wildcard sandbox/gpu/nvmllib/c/*)
NVML_FLAGS := -std=c11 -D_GNU_SOURCE -shared -fPIC -O2 -Wall -Wextra -Werror -fvisibility=hidden -fno-stack-protector \
  -nostdlib -Wl,-soname,libnvidia-ml.so.1 -Wl,-z,now,-z,relro,-z,noexecstack -Wl,--build-id=none -s
define nvml_rule
bin/linux-$(1)/libnvidia-ml.so.1: $$(NVML_FILES) Makefile
	@mkdir -p $$(@D)
	$(2) $$(NVML_FLAGS) $(3) -o $$@ $$(filter %.c,$$(NVML_FILES))
endef
$(eval $(call nvml_rule,amd64,$(AMD64_CC)))
$(eval $(call nvml_rule,arm64,$(if $(filter arm64,$(HOST_ARCH)),gcc,$(ARM64_CC)),-mno-outline-atomics))

$(LINT):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv $(TOOLS)/golangci-lint $(LINT)
