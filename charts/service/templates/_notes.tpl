{{- define "service.notes" -}}
{{- $name := include "service.fullname" . -}}
{{- $ingress := include "service.ingress.values" . | fromYaml -}}
{{- $n := include "service.numbers" . | fromYaml -}}
{{ .Chart.Name }} {{ include "service.imageTag" . }} is {{ ternary "installed" "upgraded" .Release.IsInstall }} as {{ $name }} in {{ .Release.Namespace }}.

  kubectl -n {{ .Release.Namespace }} rollout status deployment/{{ $name }}
  helm -n {{ .Release.Namespace }} test {{ .Release.Name }}

{{ if $ingress.enabled -}}
{{- if $ingress.host -}}
  HOST={{ $ingress.host }}
{{- else -}}
  HOST=$(kubectl -n {{ .Release.Namespace }} get ingress {{ $name }} -o jsonpath='{.status.loadBalancer.ingress[0].hostname}{.status.loadBalancer.ingress[0].ip}')
{{- end }}
{{- else -}}
There is no Ingress; from your own machine:
  kubectl -n {{ .Release.Namespace }} port-forward service/{{ $name }} 8080:80 &
  HOST=127.0.0.1:8080
{{- end }}
  {{ include "service.notes.curl" . }}

{{ if .Values.monitoring.dashboards -}}
Dashboards: Grafana, "Tripod {{ .Chart.Name }}".
{{- else -}}
Metrics: kubectl -n {{ .Release.Namespace }} port-forward service/{{ $name }} 9090:9090, then curl 127.0.0.1:9090/metrics
{{- end }}
A stop takes up to {{ $n.grace }} s: {{ $n.settle }} s settling, {{ int .Values.drainSeconds }} s draining, a margin.
{{- with $n.poolAtRollOut }}
Database connections: {{ $n.most }} pods with {{ $n.poolPerPod }} each, at most {{ . }} in a roll-out, of {{ int $.Values.database.maxConnections }}.
{{- end }}
{{- end -}}

{{- define "service.notes.curl" -}}
{{- $scheme := "http" -}}
{{- if (include "service.loadBalancer.values" . | fromYaml).certificateArn }}{{ $scheme = "https" }}{{ end -}}
{{- $query := dict "blockchain" "cc=eJxFjssKgzAQRf_lrrOYvNDkV4pImqY1oLbYoAXx35uEYu9qOOfOMDv84OIMe9nhxrFPnzouwa-wnEzTKkUkSBoGNyVYTb8wpDgFWHDdCi1I0T9gGNx7yFKYcPWNNDg6htdzy0jJrOMNls4WcdPedROySG55hFTO1pU5bP2JqBQqKV92xxfRVjOZ" "qrcode" "type=encode&data=CC%20Team" "twitter" "user_id=25513&type=retweet&phrase=hello%20cc&hashtag=cmu" -}}
curl -s "{{ $scheme }}://$HOST/{{ .Chart.Name }}?{{ get $query .Chart.Name }}"
{{- end -}}
