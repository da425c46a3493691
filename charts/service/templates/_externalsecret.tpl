{{- define "service.externalsecret" -}}
{{- $d := .Values.database -}}
{{- $e := $d.externalSecret -}}
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  name: {{ include "service.databaseSecret" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
spec:
  refreshInterval: {{ $e.refreshInterval | quote }}
  secretStoreRef:
    {{- if $e.storeName }}
    kind: {{ $e.storeKind | quote }}
    name: {{ $e.storeName | quote }}
    {{- else }}
    kind: SecretStore
    name: {{ include "service.databaseSecret" . | quote }}
    {{- end }}
  target:
    name: {{ include "service.databaseSecret" . | quote }}
    creationPolicy: Owner
    deletionPolicy: Retain
  data:
    - secretKey: {{ $d.passwordKey | quote }}
      remoteRef:
        key: {{ $e.key | quote }}
        property: {{ $e.property | quote }}
{{- end -}}

{{/* Rights come from the operator's own identity (EKS pod identity). */}}
{{- define "service.secretstore" -}}
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata:
  name: {{ include "service.databaseSecret" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
spec:
  provider:
    aws:
      service: SecretsManager
      region: {{ .Values.database.externalSecret.region | quote }}
{{- end -}}
