{{/*
Burn rates and alerts of one service. Metric names are those of /metrics on the admin port; kube_* come from
kube-state-metrics and container_* from the kubelet, which kube-prometheus-stack scrapes both.
*/}}

{{/* Requests that were not answered as they should have been. `cancelled` is not among them: there the client went. */}}
{{- define "service.rules.failed" -}}
outcome=~"busy|deadline|image_busy|no_table|panic|shed|token_failed"
{{- end -}}

{{- define "service.rules.runbook" -}}
{{ (index . 0).Values.monitoring.runbookUrl }}#{{ lower (index . 1) }}
{{- end -}}

{{/* One alert. Takes a dict: root, alert, for, severity, summary, expr. */}}
{{- define "service.rules.alert" -}}
- alert: {{ .alert }}
  expr: |
    {{- .expr | trim | nindent 4 }}
  {{- with .for }}
  for: {{ . }}
  {{- end }}
  labels:
    severity: {{ .severity }}
    service: {{ .root.Chart.Name }}
    {{- with .window }}
    window: {{ . }}
    {{- end }}
  annotations:
    summary: {{ .summary | quote }}
    runbook_url: {{ include "service.rules.runbook" (list .root .alert) | quote }}
{{- end -}}

{{/* Four pairs of windows: the long one says that it matters, the short one that it still goes on. Takes a dict: root, alert, what, record, budget. */}}
{{- define "service.rules.burn" -}}
{{- $root := .root -}}
{{- $job := include "service.rules.job" $root -}}
{{- $requests := printf "%s_request_duration_seconds_count" $root.Chart.Name -}}
{{- $given := . -}}
{{- range list (list "14.4" "1h" "5m" "page" "2m") (list "6" "6h" "30m" "page" "15m") (list "3" "1d" "2h" "ticket" "1h") (list "1" "3d" "6h" "ticket" "3h") }}
{{- $expr := printf "tripod:%s:ratio_%s{%s} > %s * %s\nand\ntripod:%s:ratio_%s{%s} > %s * %s\nand\nsum by (namespace, job) (increase(%s{%s}[%s])) >= %d" $given.record (index . 1) $job (index . 0) $given.budget $given.record (index . 2) $job (index . 0) $given.budget $requests $job (index . 2) (int $root.Values.monitoring.minimumRequests) }}
{{ include "service.rules.alert" (dict "root" $root "alert" $given.alert "for" (index . 4) "severity" (index . 3) "window" (index . 1) "summary" (printf "%s: %s, %s times as fast as the budget allows over %s." $root.Chart.Name $given.what (index . 0) (index . 1)) "expr" $expr) }}
{{- end }}
{{- end -}}

{{/* What selects this release's series. */}}
{{- define "service.rules.job" -}}
namespace="{{ .Release.Namespace }}",job="{{ include "service.fullname" . }}"
{{- end -}}

{{/* An objective in percent as the share that may fail: 99.9 becomes 0.001. */}}
{{- define "service.rules.budget" -}}
{{- round (divf (subf 100.0 (float64 .)) 100.0) 6 -}}
{{- end -}}

{{- define "service.rules.groups" -}}
{{- $m := .Values.monitoring -}}
{{- $s := .Chart.Name -}}
{{- $job := include "service.rules.job" . -}}
{{- $pods := printf "namespace=\"%s\",pod=~\"%s-[a-z0-9]+-[a-z0-9]+\"" .Release.Namespace (include "service.fullname" .) -}}
{{- $pod := "{{ $labels.pod }}" -}}
{{- $percent := "{{ $value | humanizePercentage }}" -}}
{{- $time := "{{ $value | humanizeDuration }}" -}}
{{- $root := . -}}
- name: {{ include "service.fullname" . }}-ratios
  rules:
    {{- range list "5m" "30m" "1h" "2h" "6h" "1d" "3d" }}
    - record: tripod:failed:ratio_{{ . }}
      expr: |
        sum by (namespace, job) (rate({{ $s }}_requests_total{ {{- $job }},{{ include "service.rules.failed" $root }}}[{{ . }}]))
        /
        sum by (namespace, job) (rate({{ $s }}_requests_total{ {{- $job }},outcome!="probe"}[{{ . }}]))
    - record: tripod:slow:ratio_{{ . }}
      expr: |
        1 - (
          sum by (namespace, job) (rate({{ $s }}_request_duration_seconds_bucket{ {{- $job }},le="{{ $m.latencySeconds }}"}[{{ . }}]))
          /
          sum by (namespace, job) (rate({{ $s }}_request_duration_seconds_count{ {{- $job }}}[{{ . }}]))
        )
    {{- end }}
- name: {{ include "service.fullname" . }}-objectives
  rules:
    {{- include "service.rules.burn" (dict "root" . "alert" "TripodErrorBudgetBurn" "what" "requests fail" "record" "failed" "budget" (include "service.rules.budget" $m.availabilityPercent)) | nindent 4 }}
    {{- include "service.rules.burn" (dict "root" . "alert" "TripodLatencyBudgetBurn" "what" (printf "requests take longer than %s s" $m.latencySeconds) "record" "slow" "budget" (include "service.rules.budget" $m.latencyPercent)) | nindent 4 }}
- name: {{ include "service.fullname" . }}-pods
  rules:
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodTargetDown" "for" "5m" "severity" "page" "summary" (printf "%s: %s does not answer Prometheus." $s $pod) "expr" (printf "up{%s} == 0" $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodTargetsMissing" "for" "5m" "severity" "page" "summary" (printf "%s: Prometheus knows no pod." $s) "expr" (printf "absent(up{%s})" $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodInFlightHigh" "for" "5m" "severity" "page" "summary" (printf "%s: %s has %s of the requests in hand that it may have." $s $pod $percent) "expr" (printf "%s_requests_in_flight{%s} / %d > 0.8" $s $job (int .Values.maxInFlight))) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodConnectionsHigh" "for" "5m" "severity" "ticket" "summary" (printf "%s: %s has %s of the connections that it may have." $s $pod $percent) "expr" (printf "%s_connections{%s} / %d > 0.8" $s $job (int .Values.maxConnections))) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodShedding" "for" "5m" "severity" "page" "summary" (printf "%s: %s of the requests are refused because too many are in hand." $s $percent) "expr" (printf "sum by (namespace, job) (rate(%s_requests_total{%s,outcome=~\"busy|image_busy|shed\"}[5m]))\n/\nsum by (namespace, job) (rate(%s_requests_total{%s,outcome!=\"probe\"}[5m]))\n> 0.01" $s $job $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodReadsPaused" "for" "10m" "severity" "ticket" "summary" (printf "%s: the workers of %s are too busy to read all connections, for ten minutes now." $s $pod) "expr" (printf "quantile_over_time(0.5, %s_reads_paused{%s}[5m]) > 0" $s $job)) | nindent 4 }}
    {{- $hungUp := printf "sum by (namespace, job) (rate(%s_read_pauses_total{%s,end=\"hung_up\"}[5m]))" $s $job }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodClientsGiveUp" "for" "5m" "severity" "page" "summary" (printf "%s: %s of the clients hang up before their request is read." $s $percent) "expr" (printf "%s\n/\n(\n  %s\n  +\n  sum by (namespace, job) (rate(%s_requests_total{%s,outcome!=\"probe\"}[5m]))\n)\n> 0.01" $hungUp $hungUp $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodPanic" "severity" "ticket" "summary" (printf "%s: %s lost a request to a panic." $s $pod) "expr" (printf "increase(%s_requests_total{%s,outcome=\"panic\"}[15m]) > 0" $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodRestarts" "severity" "page" "summary" (printf "%s: %s was restarted more than twice in an hour." $s $pod) "expr" (printf "increase(kube_pod_container_status_restarts_total{%s,container=\"service\"}[1h]) > 2" $pods)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodOutOfMemory" "severity" "ticket" "summary" (printf "%s: %s was killed because it used more memory than its limit." $s $pod) "expr" (printf "kube_pod_container_status_last_terminated_reason{%s,container=\"service\",reason=\"OOMKilled\"} == 1\nand on (namespace, pod, container)\nincrease(kube_pod_container_status_restarts_total{%s,container=\"service\"}[1h]) > 0" $pods $pods)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodMemoryHigh" "for" "15m" "severity" "ticket" "summary" (printf "%s: %s uses %s of its memory limit." $s $pod $percent) "expr" (printf "container_memory_working_set_bytes{%s,container=\"service\"} / %s > 0.9" $pods (include "service.bytes" .Values.resources.limits.memory))) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodRuntimeLag" "for" "15m" "severity" "ticket" "summary" (printf "%s: a worker of %s comes to one thing in a hundred %s late." $s $pod $time) "expr" (printf "histogram_quantile(0.99, sum by (namespace, job, pod, le) (rate(%s_runtime_lag_seconds_bucket{%s}[5m]))) > 0.05" $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodUnready" "for" "10m" "severity" "page" "summary" (printf "%s: %s runs but has not been ready for ten minutes." $s $pod) "expr" (printf "%s_phase{%s,phase=\"unready\"} == 1" $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodTracesLost" "for" "30m" "severity" "ticket" "summary" (printf "%s: %s of the traces do not reach the collector." $s $percent) "expr" (printf "sum by (namespace, job) (rate(%s_trace_spans_total{%s,result!=\"exported\"}[10m]))\n/\nsum by (namespace, job) (rate(%s_trace_spans_total{%s}[10m]))\n> 0.1" $s $job $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodDrainTooLong" "severity" "ticket" "summary" (printf "%s: %s should have ended %s ago." $s $pod $time) "expr" (printf "time() - kube_pod_deletion_timestamp{%s} > 30" $pods)) | nindent 4 }}
    {{- if eq .Values.autoscaling.mode "hpa" }}
    {{- $hpa := printf "namespace=\"%s\",horizontalpodautoscaler=\"%s\"" .Release.Namespace (include "service.fullname" .) }}
    {{- include "service.rules.alert" (dict "root" . "alert" "TripodScaledOut" "for" "30m" "severity" "ticket" "summary" (printf "%s: has had as many pods as it may have for half an hour." $s) "expr" (printf "kube_horizontalpodautoscaler_status_current_replicas{%s}\n>= on (namespace, horizontalpodautoscaler)\nkube_horizontalpodautoscaler_spec_max_replicas{%s}" $hpa $hpa)) | nindent 4 }}
    {{- end }}
{{- with .Values.database }}
- name: {{ include "service.fullname" $root }}-database
  rules:
    {{- include "service.rules.alert" (dict "root" $root "alert" "TripodDatabaseAway" "for" "2m" "severity" "page" "summary" (printf "%s: the database leaves %s of the look-ups without an answer." $s $percent) "expr" (printf "sum by (namespace, job) (rate(%s_store_errors_total{%s,kind=~\"failed|table|timeout\"}[2m]))\n/\nsum by (namespace, job) (rate(%s_lookups_total{%s,found=\"miss\"}[2m]))\n> 0.1" $s $job $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" $root "alert" "TripodDatabaseSlow" "for" "10m" "severity" "ticket" "summary" (printf "%s: one look-up in a hundred takes longer than %s." $s $time) "expr" (printf "histogram_quantile(0.99, sum by (namespace, job, le) (rate(%s_store_duration_seconds_bucket{%s}[5m]))) > 0.1" $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" $root "alert" "TripodPoolExhausted" "for" "5m" "severity" "page" "summary" (printf "%s: %s of the look-ups find no free connection." $s $percent) "expr" (printf "sum by (namespace, job) (rate(%s_store_errors_total{%s,kind=\"busy\"}[5m]))\n/\nsum by (namespace, job) (rate(%s_lookups_total{%s,found=\"miss\"}[5m]))\n> 0.01" $s $job $s $job)) | nindent 4 }}
    {{- include "service.rules.alert" (dict "root" $root "alert" "TripodTableDamaged" "severity" "page" "summary" (printf "%s: %s read a pack whose checksum is wrong." $s $pod) "expr" (printf "increase(%s_store_errors_total{%s,kind=\"damaged\"}[15m]) > 0" $s $job)) | nindent 4 }}
    {{- if gt (int $m.tableMaxAgeHours) 0 }}
    {{- include "service.rules.alert" (dict "root" $root "alert" "TripodTableStale" "for" "10m" "severity" "ticket" "summary" (printf "%s: the table that is served was loaded %s ago." $s $time) "expr" (printf "time() - max by (namespace, job) (%s_table_loaded_timestamp_seconds{%s} > 0) > %d" $s $job (mul 3600 (int $m.tableMaxAgeHours)))) | nindent 4 }}
    {{- end }}
    {{- if $m.etlCronJob }}
    {{- $etl := printf "namespace=\"%s\",cronjob=\"%s\"" $m.etlNamespace $m.etlCronJob }}
    {{- include "service.rules.alert" (dict "root" $root "alert" "TripodTableNeverLoaded" "for" "36h" "severity" "ticket" "summary" (printf "%s: the table was never loaded on schedule." $s) "expr" (printf "kube_cronjob_info{%s}\nunless on (namespace, cronjob)\nkube_cronjob_status_last_successful_time{%s}" $etl $etl)) | nindent 4 }}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "service.prometheusrule" -}}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ include "service.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
    {{- with .Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  groups:
    {{- include "service.rules.groups" . | nindent 4 }}
{{- end -}}
