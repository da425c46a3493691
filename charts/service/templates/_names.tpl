{{/* Names and labels. */}}

{{/*
At most 50 characters, for the longest name made of it has eleven more and a label holds 63. The chart's name stays whole,
because several charts may be in one release; of a long release's name a beginning stays and a digest of all of it.
*/}}
{{- define "service.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $end := ternary "" (printf "-%s" $name) (contains $name .Release.Name) -}}
{{- $whole := printf "%s%s" .Release.Name $end -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if le (len $whole) 50 -}}
{{- $whole -}}
{{- else -}}
{{- printf "%s-%s%s" (.Release.Name | trunc (sub 43 (len $end) | int) | trimSuffix "-") (.Release.Name | sha256sum | trunc 6) $end -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods: may never change, a Deployment's selector cannot. */}}
{{- define "service.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: service
{{- end -}}

{{- define "service.labels" -}}
{{ include "service.selector" . }}
{{ include "service.commonLabels" . }}
{{- end -}}

{{- define "service.commonLabels" -}}
app.kubernetes.io/part-of: tripod
app.kubernetes.io/version: {{ include "service.version" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "service.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "service.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* The part of a `global` value, or nothing. Takes a list: context, key. */}}
{{- define "service.global" -}}
{{- $global := default dict (index . 0).Values.global -}}
{{- toYaml (default dict (get $global (index . 1))) -}}
{{- end -}}

{{- define "service.teamId" -}}
{{- default .Values.teamId (default dict .Values.global).teamId -}}
{{- end -}}

{{- define "service.awsAccountId" -}}
{{- default .Values.awsAccountId (default dict .Values.global).awsAccountId -}}
{{- end -}}

{{- define "service.imageTag" -}}
{{- $global := include "service.global" (list . "image") | fromYaml -}}
{{- coalesce $global.tag .Values.image.tag .Chart.AppVersion | toString -}}
{{- end -}}

{{/* The tag as a label, which is shorter than a tag may be and begins and ends with a letter or digit. */}}
{{- define "service.version" -}}
{{- include "service.imageTag" . | regexFind "[A-Za-z0-9].*" | trunc 63 | regexFind "^.*[A-Za-z0-9]" | default "none" -}}
{{- end -}}

{{/* Takes a list: context, repository, tag, digest. */}}
{{- define "service.image" -}}
{{- $context := index . 0 -}}
{{- $global := include "service.global" (list $context "image") | fromYaml -}}
{{- $registry := default "" (coalesce $global.registry $context.Values.image.registry) | trimSuffix "/" -}}
{{- $name := index . 1 -}}
{{- if $registry -}}{{- $name = printf "%s/%s" $registry $name -}}{{- end -}}
{{- if index . 3 -}}
{{- printf "%s@%s" $name (index . 3) -}}
{{- else -}}
{{- printf "%s:%s" $name (index . 2) -}}
{{- end -}}
{{- end -}}

{{- define "service.pullPolicy" -}}
{{- $global := include "service.global" (list . "image") | fromYaml -}}
{{- coalesce $global.pullPolicy .Values.image.pullPolicy -}}
{{- end -}}

{{/* The chart's ingress, load balancer and tracing with `global` laid over them. */}}
{{- define "service.ingress.values" -}}
{{- $global := include "service.global" (list . "ingress") | fromYaml -}}
{{- mergeOverwrite (deepCopy .Values.ingress) $global | toYaml -}}
{{- end -}}

{{- define "service.loadBalancer.values" -}}
{{- $global := include "service.global" (list . "loadBalancer") | fromYaml -}}
{{- mergeOverwrite (deepCopy .Values.loadBalancer) $global | toYaml -}}
{{- end -}}

{{- define "service.tracing.values" -}}
{{- $global := include "service.global" (list . "tracing") | fromYaml -}}
{{- mergeOverwrite (deepCopy .Values.tracing) $global | toYaml -}}
{{- end -}}
