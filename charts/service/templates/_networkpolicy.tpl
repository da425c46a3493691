{{/* Looking names up: the cluster's DNS, or the cache on each node. */}}
{{- define "service.networkpolicy.dns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchLabels:
          k8s-app: kube-dns
    - ipBlock:
        cidr: 169.254.20.10/32
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end -}}

{{- define "service.networkpolicy" -}}
{{- $p := .Values.networkPolicy -}}
{{- $tracing := include "service.tracing.values" . | fromYaml -}}
{{- $traced := and $tracing.endpoint $tracing.namespace -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "service.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "service.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- if $p.loadBalancerCidrs }}
    - from:
        {{- range $p.loadBalancerCidrs }}
        - ipBlock:
            cidr: {{ . | quote }}
        {{- end }}
      ports:
        - port: http
          protocol: TCP
    {{- end }}
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $p.monitoringNamespace | quote }}
      ports:
        - port: admin
          protocol: TCP
    {{- if .Values.smokeTest.enabled }}
    - from:
        - podSelector:
            matchLabels:
              {{- include "service.smokeTest.selector" . | nindent 14 }}
      ports:
        - port: http
          protocol: TCP
    {{- end }}
    {{- with $p.extraIngress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.database $traced $p.extraEgress }}
  egress:
    {{- include "service.networkpolicy.dns" . | nindent 4 }}
    {{- with .Values.database }}
    {{- if $p.databaseCidrs }}
    - to:
        {{- range $p.databaseCidrs }}
        - ipBlock:
            cidr: {{ . | quote }}
        {{- end }}
      ports:
        - port: {{ int .port }}
          protocol: TCP
    {{- end }}
    {{- end }}
    {{- if $traced }}
    - to:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $tracing.namespace | quote }}
      ports:
        - port: {{ regexFind ":[0-9]+$" (index (splitList "/" $tracing.endpoint) 2) | trimPrefix ":" | default "4318" | int }}
          protocol: TCP
    {{- end }}
    {{- with $p.extraEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- else }}
  # This service never calls anybody, not even DNS.
  egress: []
  {{- end }}
{{- end -}}

{{- define "service.networkpolicy.smokeTest" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "service.fullname" . }}-smoke
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.smokeTest.selector" . | nindent 4 }}
    {{- include "service.commonLabels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "service.smokeTest.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress: []
  egress:
    {{- include "service.networkpolicy.dns" . | nindent 4 }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "service.selector" . | nindent 14 }}
      ports:
        - port: http
          protocol: TCP
{{- end -}}
