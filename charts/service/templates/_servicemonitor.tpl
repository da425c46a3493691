{{- define "service.servicemonitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ include "service.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
    {{- with .Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "service.selector" . | nindent 6 }}
  namespaceSelector:
    matchNames: [{{ .Release.Namespace | quote }}]
  endpoints:
    - port: admin
      path: /metrics
      interval: {{ int .Values.monitoring.scrapeIntervalSeconds }}s
      scrapeTimeout: {{ min 10 (int .Values.monitoring.scrapeIntervalSeconds) }}s
      # A service never chooses its own labels.
      honorLabels: false
      relabelings:
        # Rules and dashboards select by this name and the namespace.
        - targetLabel: job
          replacement: {{ include "service.fullname" . | quote }}
{{- end -}}
