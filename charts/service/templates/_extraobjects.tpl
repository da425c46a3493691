{{- define "service.extraobjects" -}}
{{- $context := . -}}
{{- range .Values.extraObjects }}
---
{{- if kindIs "string" . }}
{{ tpl . $context | trim }}
{{- else }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end -}}
