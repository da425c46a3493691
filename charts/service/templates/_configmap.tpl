{{/* Variables of the service, as a map. */}}
{{- define "service.settings" -}}
{{- $v := .Values -}}
{{- $n := include "service.numbers" . | fromYaml -}}
TEAM_ID: {{ include "service.teamId" . | quote }}
AWS_ACCOUNT_ID: {{ include "service.awsAccountId" . | quote }}
{{- $ip := ternary "[::]" $v.listenIp (eq $v.listenIp "::") }}
LISTEN_ADDR: {{ printf "%s:8080" $ip | quote }}
ADMIN_ADDR: {{ printf "%s:9090" $ip | quote }}
SETTLE_MS: {{ mul 1000 (int $n.settle) | quote }}
DRAIN_MS: {{ mul 1000 (int $v.drainSeconds) | quote }}
KEEP_ALIVE_MS: {{ mul 1000 (int $n.keepAlive) | quote }}
REQUEST_DEADLINE_MS: {{ mul 1000 (int $v.requestDeadlineSeconds) | quote }}
SEND_DEADLINE_MS: {{ mul 1000 (int $v.sendDeadlineSeconds) | quote }}
MAX_CONNECTIONS: {{ int $v.maxConnections | quote }}
CROWDED_IDLE_MS: {{ mul 1000 (int $v.crowdedIdleSeconds) | quote }}
MAX_IN_FLIGHT: {{ int $v.maxInFlight | quote }}
MIN_IN_FLIGHT: {{ int $v.minInFlight | quote }}
PAUSE_READS_MS: {{ int $v.pauseReadsMs | quote }}
{{- /* YAML takes a bare off for false. */}}
LOG_LEVEL: {{ $v.logLevel | default "off" | quote }}
LOG_FORMAT: {{ $v.logFormat | quote }}
ACCESS_LOG_SLOW_MS: {{ int $v.accessLog.slowMs | quote }}
ACCESS_LOG_ONE_IN: {{ int $v.accessLog.oneIn | quote }}
{{- with include "service.tracing.values" . | fromYaml }}
{{- if .endpoint }}
OTLP_ENDPOINT: {{ .endpoint | quote }}
TRACE_SAMPLE: {{ .sample | quote }}
{{- end }}
{{- end }}
{{- if hasKey $v "deflateLevel" }}
DEFLATE_LEVEL: {{ ternary (toString $v.deflateLevel) (include "service.integer" $v.deflateLevel) (kindIs "string" $v.deflateLevel) | quote }}
{{- end }}
{{- if $v.authUrl }}
AUTH_URL: {{ $v.authUrl | quote }}
AUTH_TIMEOUT_MS: {{ int $v.authTimeoutMs | quote }}
{{- end }}
{{- with $v.database }}
{{- if not .urlKey }}
{{- $port := int .port }}
{{- $hosts := list }}
{{- range prepend .fallbackHosts .host }}{{ $hosts = append $hosts (printf "%s:%d" . $port) }}{{ end }}
DATABASE_URL: {{ printf "mysql://%s@%s/%s?ssl-mode=%s" .user (join "," $hosts) .name .sslMode | quote }}
DATABASE_PASSWORD_FILE: /etc/tripod/database/password
{{- end }}
{{- if or .caConfigMap .caSecret }}
DATABASE_CA_FILE: {{ printf "/etc/tripod/authorities/%s" .caKey | quote }}
{{- end }}
DATABASE_CONNECTIONS: {{ int .connections | quote }}
DATABASE_KEYS_PER_QUERY: {{ int .keysPerQuery | quote }}
DATABASE_WAIT_MS: {{ int .waitMs | quote }}
DATABASE_CONNECT_MS: {{ int .connectMs | quote }}
DATABASE_QUERY_MS: {{ int .queryMs | quote }}
CACHE_MB: {{ int $v.cacheMb | quote }}
CACHE_TTL_MS: {{ int64 $v.cacheTtlMs | quote }}
CACHE_STALE_MS: {{ int64 $v.cacheStaleMs | quote }}
{{- end }}
{{- end -}}

{{- define "service.configmap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "service.fullname" . }}-settings
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
data:
  {{- include "service.settings" . | nindent 2 }}
{{- end -}}
