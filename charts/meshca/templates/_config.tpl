{{/* The configuration files, from values that have the same keys. */}}

{{/* What istio.enabled means, in the words of `kubernetes:`. */}}
{{- define "meshca.istioConfig" -}}
audiences: [istio-ca]
trusted_node_accounts: [{{ .Values.istio.namespace }}/ztunnel]
roots_config_map:
  name: istio-ca-root-cert
  key: root-cert.pem
cluster_trust_bundle:
  name: istio.io:istiod-ca:root-cert
  signer_name: istio.io/istiod-ca
server_secrets:
- namespace: {{ .Values.istio.namespace }}
  name: istiod-tls
  {{- /* All revisions read the one Secret. Clients look at its DNS names alone. */}}
  service_account: {{ $revisions := .Values.istio.revisions -}}
    {{ if or (not $revisions) (has "default" $revisions) }}istiod{{ else }}istiod-{{ first $revisions }}{{ end }}
  dns_names:
  {{- range list "istiod" "istiod-remote" "istio-pilot" }}
  - {{ . }}.{{ $.Values.istio.namespace }}.svc
  {{- end }}
  {{- range without $revisions "default" }}
  - istiod-{{ . }}.{{ $.Values.istio.namespace }}.svc
  {{- end }}
  pods: app=istiod
{{- end -}}

{{/* The key `kubernetes` as JSON: "null" where it is off. `{}` is on, with every default. */}}
{{- define "meshca.kubernetes" -}}
{{- $config := dict -}}
{{- $on := .Values.istio.enabled -}}
{{- if $on }}{{ $config = include "meshca.istioConfig" . | fromYaml }}{{ end -}}
{{- if hasKey .Values.server.config "kubernetes" -}}
{{- if not (kindIs "invalid" .Values.server.config.kubernetes) -}}
{{- $on = true -}}
{{- range $key, $value := .Values.server.config.kubernetes }}{{ $_ := set $config $key $value }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $on }}{{ $config | toJson }}{{ else }}null{{ end -}}
{{- end -}}

{{/* Not empty where the server writes in the cluster: then it needs the Lease. */}}
{{- define "meshca.writesInCluster" -}}
{{- $kubernetes := include "meshca.kubernetes" . | fromJson -}}
{{- if or ($kubernetes.roots_config_map).name ($kubernetes.cluster_trust_bundle).name $kubernetes.server_secrets $kubernetes.signer }}true{{ end -}}
{{- end -}}

{{/* Of the trust domain's Lease: LeaseName of ca/kubernetes/lease_record.h. */}}
{{- define "meshca.leaseName" -}}
{{- $domain := default "cluster.local" .Values.server.config.trust_domain -}}
{{- if and (le (len $domain) 200) (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" $domain) -}}
meshca-{{ $domain }}
{{- else -}}
meshca-{{ $domain | sha256sum | trunc 32 }}
{{- end -}}
{{- end -}}

{{- define "meshca.serverConfig" -}}
{{- $config := deepCopy .Values.server.config -}}
{{- $service := printf "%s.%s.svc" (include "meshca.fullname" .) .Release.Namespace -}}
{{- $names := list $service (printf "%s.%s" $service .Values.clusterDomain) -}}
{{- $_ := set $config "server_names" (concat $names (default (list) $config.server_names) | uniq) -}}
{{- $_ := set $config "state_dir" "/var/lib/meshca/state" -}}
{{- $_ := set $config "kek_file" "/etc/meshca/kek/kek" -}}
{{- $_ := set $config "admin_socket" "/run/meshca/admin.sock" -}}
{{- $_ := set $config "api_socket" "/run/meshca/public/api.sock" -}}
{{- $_ := set $config "listen" ":15012" -}}
{{- $_ := set $config "http_listen" ":15014" -}}
{{- if .Values.server.pluggedInCaSecret -}}
{{- $_ := set $config "authority" (merge (dict "plugged_in_ca" "/etc/meshca/ca") (default (dict) $config.authority)) -}}
{{- end -}}
{{- $kubernetes := include "meshca.kubernetes" . | fromJson -}}
{{- if eq (include "meshca.kubernetes" .) "null" -}}
{{- $_ := unset $config "kubernetes" -}}
{{- else -}}
{{- $_ := set $config "kubernetes" $kubernetes -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* token_file is set by a variable of the container: it has the node's name in it. */}}
{{- define "meshca.agentConfig" -}}
{{- $config := deepCopy .Values.agent.config -}}
{{- if not $config.server -}}
{{- $_ := set $config "server" (list (printf "%s.%s.svc:%v" (include "meshca.fullname" .) .Release.Namespace .Values.server.service.port)) -}}
{{- end -}}
{{- $_ := set $config "state_dir" "/var/lib/meshca-agent/state" -}}
{{- $_ := set $config "api_socket" "/run/meshca/agent/api.sock" -}}
{{- $_ := set $config "admin_socket" "/run/meshca/admin/admin.sock" -}}
{{- $_ := set $config "http_listen" ":15024" -}}
{{- toYaml $config -}}
{{- end -}}
