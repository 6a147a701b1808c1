{{/* Names and labels. "server" and "agent" are components of one release. */}}
{{- define "meshca.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "meshca.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "meshca.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "meshca.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "meshca.agentName" -}}
{{- printf "%s-agent" (include "meshca.fullname" .) -}}
{{- end -}}

{{/* Of what exists once in a cluster: two releases in two namespaces may have one name. */}}
{{- define "meshca.clusterName" -}}
{{- printf "%s-%s" (include "meshca.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* Of the admission policy and its binding. The server looks for it: ca/pod_certificates/admission_guard.h. */}}
{{- define "meshca.admissionPolicyName" -}}
meshca-pod-certificate-requests
{{- end -}}

{{/* list ROOT COMPONENT */}}
{{- define "meshca.selectorLabels" -}}
app.kubernetes.io/name: {{ include "meshca.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "meshca.labels" -}}
{{ include "meshca.selectorLabels" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end -}}

{{- define "meshca.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "meshca.serverAccount" -}}
{{- default (include "meshca.fullname" .) .Values.server.serviceAccount.name -}}
{{- end -}}

{{- define "meshca.agentAccount" -}}
{{- default (include "meshca.agentName" .) .Values.agent.serviceAccount.name -}}
{{- end -}}

{{/* What no container of this chart may do. */}}
{{- define "meshca.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
{{- end -}}
