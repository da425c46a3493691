{{/* What the AWS Load Balancer Controller reads. Of those that a group must agree on, all come from loadBalancer. */}}
{{- define "service.ingress.annotations" -}}
{{- include "service.ingress.annotations.fixed" . -}}
{{- if include "service.behindLoadBalancer" . -}}
{{- with (include "service.loadBalancer.values" . | fromYaml).annotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Those of them that have a value of their own in loadBalancer, or none. */}}
{{- define "service.ingress.annotations.fixed" -}}
{{- if include "service.behindLoadBalancer" . -}}
{{- $b := include "service.loadBalancer.values" . | fromYaml -}}
{{- $n := include "service.numbers" . | fromYaml -}}
{{- $attributes := list (printf "idle_timeout.timeout_seconds=%d" (int $b.idleTimeoutSeconds)) -}}
{{- range $key := keys $b.attributes | sortAlpha -}}
{{- $attributes = append $attributes (printf "%s=%s" $key (get $b.attributes $key)) -}}
{{- end -}}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/scheme: {{ $b.scheme | quote }}
alb.ingress.kubernetes.io/group.name: {{ $b.groupName | quote }}
alb.ingress.kubernetes.io/group.order: {{ int $b.groupOrder | quote }}
{{- if $b.certificateArn }}
alb.ingress.kubernetes.io/listen-ports: '[{"HTTP":80},{"HTTPS":443}]'
alb.ingress.kubernetes.io/ssl-redirect: "443"
alb.ingress.kubernetes.io/certificate-arn: {{ $b.certificateArn | quote }}
alb.ingress.kubernetes.io/ssl-policy: {{ $b.sslPolicy | quote }}
{{- else }}
alb.ingress.kubernetes.io/listen-ports: '[{"HTTP":80}]'
{{- end }}
{{- with $b.inboundCidrs }}
alb.ingress.kubernetes.io/inbound-cidrs: {{ join "," . | quote }}
{{- end }}
alb.ingress.kubernetes.io/healthcheck-path: /readyz
alb.ingress.kubernetes.io/healthcheck-port: traffic-port
alb.ingress.kubernetes.io/healthcheck-interval-seconds: {{ $n.checkPeriod | quote }}
alb.ingress.kubernetes.io/healthcheck-timeout-seconds: "2"
alb.ingress.kubernetes.io/healthy-threshold-count: "2"
alb.ingress.kubernetes.io/unhealthy-threshold-count: {{ $n.checkFailures | quote }}
alb.ingress.kubernetes.io/success-codes: "200"
alb.ingress.kubernetes.io/load-balancer-attributes: {{ join "," $attributes | quote }}
alb.ingress.kubernetes.io/target-group-attributes: {{ printf "deregistration_delay.timeout_seconds=%d,load_balancing.algorithm.type=least_outstanding_requests" (int $b.deregistrationDelaySeconds) | quote }}
{{- end -}}
{{- end -}}

{{- define "service.ingress" -}}
{{- $i := include "service.ingress.values" . | fromYaml -}}
{{- $annotations := include "service.ingress.annotations" . | trim -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ include "service.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
  {{- if or $annotations $i.annotations }}
  annotations:
    {{- with $annotations }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $i.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  ingressClassName: {{ $i.className | quote }}
  {{- with $i.tlsSecret }}
  tls:
    - hosts: [{{ $i.host | quote }}]
      secretName: {{ . | quote }}
  {{- end }}
  rules:
    - {{ with $i.host }}host: {{ . | quote }}
      {{ end }}http:
        paths:
          - path: /{{ .Chart.Name }}
            pathType: Prefix
            backend:
              service:
                name: {{ include "service.fullname" . | quote }}
                port:
                  name: http
{{- end -}}
