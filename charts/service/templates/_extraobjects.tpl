{{- define "service.extraobjects" -}}
{{- $context := . -}}
{{- range $index, $object := .Values.extraObjects }}
---
{{- if kindIs "string" $object }}
{{- $text := tpl $object $context | trim }}
{{- range regexSplit "(?m)^---.*$" $text -1 }}
{{- $parsed := fromYaml . }}
{{- if hasKey $parsed "Error" }}
{{- fail (printf "\n\nextraObjects[%d] is not YAML once it is rendered: %s\n" $index $parsed.Error) }}
{{- end }}
{{- if and $parsed (not (and $parsed.apiVersion $parsed.kind $parsed.metadata)) }}
{{- fail (printf "\n\nextraObjects[%d] renders something that is no object. Give it apiVersion, kind and metadata:\n%s\n" $index .) }}
{{- end }}
{{- end }}
{{ $text }}
{{- else }}
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end -}}
