{{/* Grafana dashboards, from files/: JSON that Grafana itself can import once SERVICE, JOB and NAMESPACE are filled in. */}}
{{- define "service.dashboards" -}}
{{- $files := .Subcharts.service.Files -}}
{{- $names := list "service" -}}
{{- if .Values.database }}{{ $names = append $names "database" }}{{ end -}}
{{- $context := . -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "service.fullname" . }}-dashboards
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
    {{- with .Values.monitoring.dashboardLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
data:
  {{- range $names }}
  {{ include "service.fullname" $context }}-{{ . }}.json: |
    {{- $files.Get (printf "files/dashboard-%s.json" .) | replace "@SERVICE@" $context.Chart.Name | replace "@JOB@" (include "service.fullname" $context) | replace "@NAMESPACE@" $context.Release.Namespace | replace "@UID@" (printf "tripod-%s" (printf "%s/%s/%s" $context.Release.Namespace (include "service.fullname" $context) . | sha256sum | trunc 12)) | replace "\"@LATENCY@\"" $context.Values.monitoring.latencySeconds | replace "\"@IN_FLIGHT@\"" (int $context.Values.maxInFlight | toString) | replace "\"@MIN_IN_FLIGHT@\"" (int $context.Values.minInFlight | toString) | trim | nindent 4 }}
  {{- end }}
{{- end -}}
