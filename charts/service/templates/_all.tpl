{{/* Everything a service chart renders. */}}
{{- define "service.all" -}}
{{- include "service.validate" . -}}
{{- $names := list -}}
{{- if .Values.serviceAccount.create }}{{ $names = append $names "serviceaccount" }}{{ end -}}
{{- $names = append $names "configmap" -}}
{{- if and .Values.database (default dict (default dict .Values.database).externalSecret).enabled -}}
{{- if not .Values.database.externalSecret.storeName }}{{ $names = append $names "secretstore" }}{{ end -}}
{{- $names = append $names "externalsecret" -}}
{{- end -}}
{{- $names = concat $names (list "service" "deployment") -}}
{{- if eq .Values.autoscaling.mode "hpa" }}{{ $names = append $names "horizontalpodautoscaler" }}{{ end -}}
{{- if .Values.disruptionBudget }}{{ $names = append $names "poddisruptionbudget" }}{{ end -}}
{{- if (include "service.ingress.values" . | fromYaml).enabled }}{{ $names = append $names "ingress" }}{{ end -}}
{{- if .Values.networkPolicy.enabled }}{{ $names = append $names "networkpolicy" }}{{ end -}}
{{- if and .Values.networkPolicy.enabled .Values.smokeTest.enabled }}{{ $names = append $names "networkpolicy.smokeTest" }}{{ end -}}
{{- if .Values.monitoring.serviceMonitor }}{{ $names = append $names "servicemonitor" }}{{ end -}}
{{- if .Values.monitoring.rules }}{{ $names = append $names "prometheusrule" }}{{ end -}}
{{- if .Values.monitoring.dashboards }}{{ $names = append $names "dashboards" }}{{ end -}}
{{- if .Values.smokeTest.enabled }}{{ $names = append $names "smokeTest" }}{{ end -}}
{{- $context := . -}}
{{- range $names }}
---
{{ include (printf "service.%s" .) $context }}
{{- end }}
{{ include "service.extraobjects" . }}
{{- end -}}
